"""The corpus of the demo model reads like plain English: each source's marks and noise, in small."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fixtures.demo_model import corpus, foldoc, gcide, wordnet
from fixtures.demo_model.cleaning import line_joiner, plain
from tests.support.parts import require

GCIDE = r"""
Before \Be*fore"\, prep.
   In front of.
   [1913 Webster]

Coal \Coal\ (k[=o]l), n. [AS. col; akin to D. kool, OHG. chol,
   G. kohle, Icel. kol, pl., [root]117. Cf. {Kiln}, {Collier}.]
   1. A thoroughly charred, and extinguished or still ignited,
      fragment from wood; char-
      coal.
      [1913 Webster]

   2. (Min.) A black, or brownish black, solid sub-
      stance, dug from beds. "Dig deep for coal." --B. Jonson.
      [1913 Webster]

            He heaps coals of fire upon his head.
                                                  --Shak.
      [1913 Webster]

   3. An old measure. [Obs.] --Chaucer.

   4. A measure of coal taken from WordNet. [WordNet 1.5]

   {Coal bed} (Geol.), a layer or stratum of coal, as of the
      genus ({Carbo niger}) or the like; -- called also {coal
      seam}. See {Seam}.

   Syn: Charcoal; cinder; ember.
        [1913 Webster]

Coaita \Co*ai"ta\ (k[-o]*[aum][i^]"t[.a]), n. (Zool.)
   The native name of certain monkeys, esp. of the black-faced
   one, i. e. a larv[ae]-eater.
"""


def senses(text: str = GCIDE) -> list[tuple[str, str]]:
    return list(gcide.documents(text, line_joiner({"charcoal", "substance"})))


def test_a_dictionary_entry_becomes_plain_sentences() -> None:
    assert senses() == [
        ("before", "before: in front of."),
        ("coal", "coal: a thoroughly charred, and extinguished or still ignited, fragment from wood; charcoal."),
        ("coal", "coal, in mineralogy: a black, or brownish black, solid substance, dug from beds."),
        ("coal bed", "coal bed, in geology: a layer or stratum of coal, as of the genus or the like."),
        ("coal", "coal: similar words: charcoal; cinder; ember."),
        (
            "coaita",
            "coaita, in zoology: the native name of certain monkeys, especially of the black faced one, that is, "
            "a larvae eater.",
        ),
    ]


@pytest.mark.parametrize(
    "noise", ["Webster", "shak", "jonson", "chaucer", "obs", "ohg", "akin", "kool", "measure", "niger", "seam"]
)
def test_no_etymology_pronunciation_citation_or_obsolete_sense_is_left(noise: str) -> None:
    assert noise not in " ".join(sentence for _, sentence in senses()).lower()


def test_a_word_cut_at_a_line_end_is_joined_only_where_the_whole_is_known() -> None:
    joined = line_joiner({"example"})
    assert joined("an exam-\n   ple of a coal-\n   black cat") == "an example of a coal-black cat"


FOLDOC = """
actor

   1. <programming> In {object-oriented} programming, an {object}
   which exists as a {concurrent} process.

   2. <operating system> In {Chorus}, the unit of resource
   allocation (see {ftp://x.org/a}).

   ["Actor Does More than Windows", E.R. Tello, Dr Dobb's J
   13(1):114-125 (Jan 1988)].

   {Home (http://osl.cs.uiuc.edu/)}.

   E-mail: <agha@cs.uiuc.edu>.

   (1994-11-08)

x86_64

   <processor> A processor with a 64 bit bus.
"""


def test_a_computing_entry_becomes_plain_sentences() -> None:
    assert list(foldoc.documents(FOLDOC, line_joiner(set()))) == [
        (
            "actor",
            "actor, in programming: in object oriented programming, an object which exists as a concurrent process.",
        ),
    ]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("A  well-known “thing”", "a well known thing."),
        ("Fruits, etc. , of the U. S.;", "fruits, and so on, of the united states."),
        ("It [sic] is {braced} -- or <tagged>", "it sic is braced, or tagged."),
        ("the dog's 'bone' costs 3.5", "the dog's bone costs 3.5."),
    ],
)
def test_plain(raw: str, clean: str) -> None:
    assert plain(raw) == clean


WORDNET = {
    "noun": [
        "00000001 05 n 01 animal 0 001 ~ 00000002 n 0000 | a living being  ",
        "00000002 05 n 02 canine 0 canid 0 003 @ 00000001 n 0000 ~ 00000003 n 0000 ~ 00000004 n 0000 | a mammal",
        "00000003 05 n 02 dog 0 domestic_dog 0 002 @ 00000002 n 0000 %p 00000005 n 0000 | a member of the genus Canis "
        '(probably descended from the wolf) that barks; "the dog barked all night"  ',
        "00000004 05 n 01 wolf 0 001 @ 00000002 n 0000 | a wild animal  ",
        "00000005 05 n 01 flag 0 001 #p 00000003 n 0000 | a conspicuously marked tail  ",
        "00000006 05 n 01 Canis 0 001 @ 00000001 n 0000 | type genus of the Canidae: dogs  ",
    ],
    "verb": [],
    "adj": [
        "00000007 00 a 01 hot 0 002 ! 00000008 a 0101 & 00000009 a 0000 | of high temperature  ",
        "00000008 00 a 01 cold 0 001 ! 00000007 a 0101 | of low temperature  ",
        "00000009 00 s 02 blazing(a) 0 fiery 0 001 & 00000007 a 0000 | like a fire  ",
    ],
    "adv": [],
}
INDEX = {"noun": "animal canine canid dog domestic_dog wolf flag canis", "adj": "hot cold blazing fiery"}


@pytest.fixture
def small_wordnet(tmp_path: Path) -> Path:
    for part, lines in WORDNET.items():
        (tmp_path / f"data.{part}").write_text("".join(f"{line}\n" for line in ["  1 a licence", *lines]))
        index = []
        for word in INDEX.get(part, "").split():
            offset = next(line[:8] for line in lines if f" {word} " in line.lower().replace("(a)", ""))
            index.append(f"{word} {part[0]} 1 1 @ 1 0 {offset}  \n")
        (tmp_path / f"index.{part}").write_text("".join(index))
    return tmp_path


def sentences(folder: Path) -> list[str]:
    everything = "animal canine dog wolf flag hot cold fiery blazing canid"
    counts = corpus.Counter(dict.fromkeys(everything.split(), 50))
    made = wordnet.Sentences(wordnet.read(folder), wordnet.senses(folder), counts)
    return [text for _, text in made.documents()]


def test_synsets_become_sentences(small_wordnet: Path) -> None:
    made = sentences(small_wordnet)
    assert "a dog is a kind of canine: a member that barks. the dog barked all night." in made
    assert "a dog is a kind of canine; a canine is a kind of animal." in made
    assert any(text in made for text in ("kinds of canine are dog and wolf.", "kinds of canine are wolf and dog."))
    assert "hot is the opposite of cold." in made
    assert "words like hot are fiery and blazing." not in made and "blazing or fiery: like a fire." in made


def test_latin_names_and_unfamiliar_words_are_left_out(small_wordnet: Path) -> None:
    text = " ".join(sentences(small_wordnet))
    assert "canis" not in text and "genus" not in text and "domestic dog" not in text


def test_missing_packages_are_named(small_wordnet: Path, tmp_path: Path) -> None:
    for package in ("dict-gcide", "dict-foldoc"):
        with gzip.open(tmp_path / package, "wt") as file:
            file.write(GCIDE if package == "dict-gcide" else FOLDOC)
    files = {package: tmp_path / package for package in ("dict-gcide", "dict-foldoc")}
    files["wordnet-base"] = tmp_path / "nowhere" / "data.noun"
    with pytest.raises(corpus.MissingPackageError, match="apt-get install wordnet-base"):
        corpus.build(files)


def test_the_corpus_is_the_same_each_time_and_holds_whole_headwords_out(
    small_wordnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "HELD_OUT", 3)
    monkeypatch.setattr(wordnet, "FAMILIAR", 1)
    files = {"wordnet-base": small_wordnet / "data.noun"}
    for package, text in (("dict-gcide", GCIDE), ("dict-foldoc", FOLDOC)):
        files[package] = small_wordnet / package
        with gzip.open(files[package], "wt") as file:
            file.write(text)
    first, second = corpus.build(files), corpus.build(files)
    assert first == second and len(first.digest) == 64
    assert first.training and first.evaluation and not set(first.training) & set(first.evaluation)
    assert set(first.sample) <= set(first.evaluation)
    assert sum(count for count, _ in first.sources.values()) == len(first.training) + len(first.evaluation)


MARKS = set('[]{}\\|<>"_=~^`()')


def test_the_installed_dictionaries_come_out_clean() -> None:
    """A tenth of each of the real dictionaries: nothing of their markup is left."""
    require("dictionaries")
    joined = line_joiner(set())
    for package, reader in (("dict-gcide", gcide.documents), ("dict-foldoc", foldoc.documents)):
        with gzip.open(corpus.FILES[package], "rt", encoding="utf-8", errors="ignore") as file:
            whole = file.read()
        documents = list(reader(whole[len(whole) // 2 : len(whole) // 2 + len(whole) // 20], joined))
        assert len(documents) > 400
        for _, text in documents:
            assert text == text.lower() and text.isascii() and not MARKS & set(text), text
            assert "  " not in text and "--" not in text and text.endswith("."), text
        assert sum("webster" in text for _, text in documents) < 5
