"""Questions about texts as SQuAD has them, from templates, with long and short texts and several true answers."""

import random
from typing import Any

NAMES = ("Ada", "Bruno", "Clara", "Dario", "Elsa", "Fritz", "Greta", "Hugo")
JOBS = ("nurse", "pilot", "old baker", "judge")
PLACES = ("the Green Park", "Oslo", "an old mill", "Lake Como")
YEARS = ("1871", "1902", "1935", "2004")
FILLING = "It was not in the sun, and no one was there by day or by night. "


def fact(rng: random.Random) -> tuple[str, list[tuple[str, list[str]]]]:
    """A sentence, and questions about it with their true answers, the first being the one that stands for all."""
    name, job, place, year = (rng.choice(words) for words in (NAMES, JOBS, PLACES, YEARS))
    sentence = f"In {year}, {name} the {job} went to {place}. "
    bare = place.removeprefix("the ").removeprefix("an ")
    return sentence, [
        (f"Who went to {place}?", [f"{name} the {job}", name]),
        (f"When did {name} go?", [year]),
        (f"Where did {name} go in {year}?", [place, bare]),
    ]


def paragraph(
    rng: random.Random, number: int, *, fillings: int = 1, impossible: bool = False
) -> dict[str, Any]:
    sentence, asked = fact(rng)
    before = rng.randint(0, fillings)
    context = FILLING * before + sentence + FILLING * (fillings - before)
    questions: list[dict[str, Any]] = []
    for place, (text, answers) in enumerate(rng.sample(asked, rng.randint(1, 3))):
        found = [
            {"text": answer, "answer_start": context.index(answer, len(FILLING) * before)}
            for answer in answers
        ]
        questions.append({"id": f"q{number}-{place}", "question": text, "answers": found})
    if impossible:
        said = {"plausible_answers": [], "is_impossible": True, "answers": []}
        questions.append({"id": f"q{number}-none", "question": "Why was it cold?", **said})
    return {"context": context, "qas": questions}


def squad(
    paragraphs: int, seed: int = 0, *, fillings: int = 1, impossible: bool = False
) -> dict[str, Any]:
    """A file's content; with `impossible` every second text has a question without an answer."""
    rng = random.Random(seed)
    made = [
        paragraph(rng, number, fillings=fillings, impossible=impossible and number % 2 == 0)
        for number in range(paragraphs)
    ]
    articles = [
        {"title": f"a{at}", "paragraphs": made[at : at + 3]} for at in range(0, paragraphs, 3)
    ]
    return {"version": "2.0" if impossible else "1.1", "data": articles}


def rows(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The same a question a row, as the data set squad has it on the hub."""
    found = []
    for article in content["data"]:
        for one in article["paragraphs"]:
            for given in one["qas"]:
                answers = {
                    "text": [answer["text"] for answer in given["answers"]],
                    "answer_start": [answer["answer_start"] for answer in given["answers"]],
                }
                found.append(
                    {
                        "id": given["id"],
                        "title": article["title"],
                        "context": one["context"],
                        "question": given["question"],
                        "answers": answers,
                    }
                )
    return found
