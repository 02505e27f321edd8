// @ts-check
// Says where content goes on beyond the edge of what scrolls by itself: that edge fades out
// (section.css). Needs nothing.

/** What may scroll by itself. */
const SCROLLERS = ".scroll, .tall, .card, .tokens, .grid.as-list, .readout";

/** @param {Element} scroller */
function markEdges(scroller) {
  const { scrollLeft, scrollTop, scrollWidth, scrollHeight, clientWidth, clientHeight } = scroller;
  const right = scrollWidth - clientWidth - scrollLeft > 2;
  const below = scrollHeight - clientHeight - scrollTop > 2;
  const hasMore = [right ? "right" : "", below ? "below" : ""].filter(Boolean).join(" ");
  if (scroller.getAttribute("data-more") === hasMore) return;
  if (hasMore) scroller.setAttribute("data-more", hasMore);
  else scroller.removeAttribute("data-more");
}

/** Marks all edges of the page, now and whenever something changes, once a frame. */
function mountScrollCues() {
  let isScheduled = false;
  function schedule() {
    if (isScheduled) return;
    isScheduled = true;
    requestAnimationFrame(() => {
      isScheduled = false;
      document.querySelectorAll(SCROLLERS).forEach(markEdges);
    });
  }
  document.addEventListener("scroll", schedule, { capture: true, passive: true });
  document.addEventListener("toggle", schedule, { capture: true });
  window.addEventListener("resize", schedule);
  new MutationObserver(schedule).observe(document.body, { childList: true, subtree: true });
  schedule();
}
