"""What a library raises becomes one sentence; what is not of the file passes."""

import errno

import pytest

from headscope.errors import HeadscopeError, reason, refusing


def test_reason_is_the_first_line_as_a_clause() -> None:
    assert reason(ValueError("no  such key.\nTraceback of another language")) == "no such key"
    assert reason(KeyError()) == "KeyError"
    assert reason(ValueError("word " * 90)) == "word " * 59 + "..."


@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeError("odd"), OSError("odd")])
def test_what_a_library_raises_becomes_a_sentence(error: Exception) -> None:
    sentence = r"^the file is bad \(odd\): take another$"
    with pytest.raises(HeadscopeError, match=sentence), refusing("the file is bad", "take another"):
        raise error


@pytest.mark.parametrize(
    "error",
    [HeadscopeError("own"), MemoryError(), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()],
)
def test_what_is_not_of_the_file_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, refusing("the file is bad"):
        raise error
    assert raised.value is error
