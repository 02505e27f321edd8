// @ts-check
// Where the page has its answers from: the server that opened it, or the file that it is. Needs
// map_data.js and text.js.

/**
 * What is asked: texts, and heads that are switched off.
 * @typedef {object} Asked
 * @property {string} first
 * @property {string} second
 * @property {string} heads as in "L1H2,L7H6"
 * @property {string} mode
 */

/**
 * Who answers. `show` gives what the page shows of texts, `switchOff` what a model says without
 * heads, `storeOf` where the maps of a view are.
 * @typedef {object} Source
 * @property {boolean} isLive
 * @property {(model: number, asked: Asked) => Promise<any>} show
 * @property {(model: number, asked: Asked) => Promise<any>} switchOff
 * @property {(model: number, view: RunView, asked: () => Asked) => MapStore} storeOf
 */

/**
 * Answers of the server.
 * @param {string} token
 * @returns {Source}
 */
function liveSource(token) {
  /** @param {string} path @param {object} values */
  async function post(path, values) {
    let answer;
    try {
      const headers = { "Content-Type": "application/json", "X-Token": token };
      answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(values) });
    } catch {
      throw new Error("headscope look does not run any more: start it again, and open its page");
    }
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.error);
    return said;
  }

  /**
   * Maps that are fetched one head at a time.
   * @param {number} model
   * @param {RunView} view
   * @param {() => Asked} asked
   * @returns {MapStore}
   */
  function storeOf(model, view, asked) {
    return {
      has: (key) => view.data.maps.includes(key),
      async mapOf(key, head, tokens) {
        const [state, example] = key.split("/");
        const wanted = { model, ...asked(), state, example: Number(example), head };
        const maps = await unpackCodes(await post("/map", wanted));
        return weightsOf(maps, { layer: 1, head: 1 }, tokens);
      },
    };
  }

  return {
    isLive: true,
    show: (model, asked) => post("/show", { model, ...asked }),
    switchOff: (model, asked) => post("/switch", { model, ...asked }),
    storeOf,
  };
}

/**
 * Answers that lie in the file: of one text, with single heads and layers switched off.
 * @param {any[]} models what a file holds of every model
 * @returns {Source}
 */
function savedSource(models) {
  return {
    isLive: false,
    show: async (model) => models[model].shown,
    async switchOff(model, { heads }) {
      const saved = models[model].switched[heads];
      if (saved) return saved;
      throw new Error(
        "this file holds single heads and whole layers that are switched off, not this set: run " +
          "headscope look",
      );
    },
    storeOf(model, view) {
      for (const [key, packed] of Object.entries(models[model].maps)) {
        const script = element("script", { type: "application/json", class: "map", "data-key": key });
        script.textContent = JSON.stringify(packed);
        view.root.append(script);
      }
      return createMapStore(view.root);
    },
  };
}
