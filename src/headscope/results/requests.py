"""How two requests differ, in words."""

from collections.abc import Mapping

_WORDS = {
    "config": "the configuration of the model",
    "tokenizer": "the tokenizer",
    "before_config": "the configuration of the model before",
    "before_tokenizer": "the tokenizer of the model before",
    "definition": "the definition of the task",
    "word_source": "the source of the words",
    "headscope": "the version of headscope",
}


def difference(begun: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """In what a request differs from the one that began a run: the names of what was asked, joined
    by commas.

    >>> difference({"seed": 0, "config": "ab"}, {"seed": 0, "config": "cd"})
    'the configuration of the model'
    """
    keys = [*wanted, *(key for key in begun if key not in wanted)]
    differ = [key for key in keys if begun.get(key) != wanted.get(key)]
    return ", ".join(_WORDS.get(key, key.replace("_", " ")) for key in differ) or "its version"
