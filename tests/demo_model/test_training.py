"""The demo model's tokenizer, first embedding, loss and training, in tiny sizes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from fixtures.demo_model import batching, corpus, losses, train, words

ANIMALS = ["dog", "cat", "horse", "wolf", "fox", "bear", "lion", "hare", "goat", "sheep"]
METALS = ["iron", "gold", "tin", "lead", "zinc", "nickel", "copper", "silver", "cobalt", "chromium"]


def small_corpus(documents: int = 600) -> corpus.Corpus:
    made = random.Random(1)
    rare = ["".join(made.choices("bcdfglmnprst", k=2)) + made.choice("aeiou") * 2 + "th" for _ in range(200)]
    texts = [
        f"kinds of {name} are {', '.join(made.sample(members, 6))} or {made.choice(rare)}."
        for name, members in (("animal", ANIMALS), ("metal", METALS))
        for _ in range(documents // 2)
    ]
    made.shuffle(texts)
    return corpus.Corpus(texts[60:], texts[:60], texts[:20], {"wordnet-base": (documents, 9 * documents)}, "0" * 64)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("train")
    train.prepare(work, small_corpus(), vocabulary=340)
    return work


@pytest.fixture
def work(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with the prepared corpus, and a model of one small layer."""
    for name, size in (("LAYERS", 1), ("HEADS", 2), ("WIDTH", 16), ("WARM_UP", 512)):
        monkeypatch.setattr(train, name, size)
    monkeypatch.setattr(losses, "SAMPLED", 100)
    for path in prepared.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def training(work: Path, *options: str) -> train.Training:
    chosen = train.arguments(
        ["--work", str(work), "--tokens", "5120", "--batch", "4", "--lists", "0", "--rate", "0.05", *options]
    )
    return train.Training(chosen, train.prepare(work))


def test_frequent_words_are_one_token_and_any_text_comes_back() -> None:
    tokenizer = words.train_tokenizer(small_corpus().training, 340)
    assert tokenizer.get_vocab_size() == 340 and tokenizer.token_to_id(words.END) == 0
    for word in ANIMALS:
        assert len(tokenizer.encode(word, add_special_tokens=False).ids) == 1
    assert tokenizer.encode("A DOG").tokens == tokenizer.encode("a dog").tokens
    odd = " zebra’s naïve 京 3.5%\n"
    assert tokenizer.decode(tokenizer.encode(odd).ids) == odd


def test_the_sampled_loss_is_the_loss_where_the_sample_is_everything(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = train.untrained(340)
    batch = torch.randint(0, 340, (2, 17), generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.cross_entropy(model(batch[:, :-1]).logits.flatten(0, 1), batch[:, 1:].flatten())
    assert torch.allclose(losses.loss_of(model, batch), whole)
    monkeypatch.setattr(losses, "SAMPLED", 340)
    assert torch.allclose(losses.sampled_loss(model, batch, torch.randperm(340)), whole, atol=1e-5)


def test_the_sampled_denominator_is_right_on_average(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "SAMPLED", 40)
    model = train.untrained(340)
    batch = torch.randint(0, 340, (1, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        draws = [
            losses.sampled_loss(model, batch, torch.randperm(340, generator=torch.Generator().manual_seed(seed)))
            for seed in range(200)
        ]
        assert float(torch.stack(draws).mean()) == pytest.approx(float(losses.loss_of(model, batch)), abs=0.01)


def test_frequent_tokens_and_pieces_of_words_count_for_less() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words.train_tokenizer(small_corpus().training, 340))
    ids = tokenizer.convert_tokens_to_ids
    dog, comma, piece = ids(words.SPACE + "dog"), ids(","), ids("th")
    corpus_ids = np.array([comma] * 900 + [piece] * 60 + [dog] * 40)
    weights = losses.weights_of(corpus_ids, tokenizer)
    assert weights.of_token[comma] == pytest.approx((0.01 / 0.9) ** 0.5)
    assert weights.of_token[dog] == pytest.approx(0.5)
    assert weights.of_token[ids(words.SPACE + "cat")] == 1.0, "never seen, so not frequent"
    assert weights.continues[piece] and not weights.continues[[dog, comma, ids(words.END)]].any()

    found = weights.of(torch.tensor([[comma, dog, piece, dog, comma, dog]]))
    whole, frequent, part = weights.of_token[[dog, comma, piece]].tolist()
    assert found[0].tolist() == pytest.approx([0.3 * whole, 0.3 * part, whole, frequent, whole])


def test_the_weighted_loss_is_the_weighted_mean_of_each_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "SAMPLED", 340)
    plain = words.train_tokenizer(small_corpus().training, 340)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain)
    ids = words.packed(plain, small_corpus().training)
    weights = losses.weights_of(ids, tokenizer)
    model = train.untrained(340)
    batch = torch.from_numpy(ids[:66].astype(np.int64)).reshape(2, 33)
    with torch.no_grad():
        scores = model(batch[:, :-1]).logits.log_softmax(-1).gather(-1, batch[:, 1:, None])[..., 0]
    expected = -(scores * weights.of(batch)).sum() / weights.of(batch).sum()
    assert torch.allclose(losses.loss_of(model, batch, weights), expected, atol=1e-5)
    assert torch.allclose(losses.sampled_loss(model, batch, torch.randperm(340), weights), expected, atol=1e-5)


def test_each_pass_takes_every_sequence_once_whatever_the_batch() -> None:
    ids = np.arange(128 * 10 + 1, dtype=np.uint16)
    source = batching.batches(ids, 3, 0)
    taken = torch.cat([next(source) for _ in range(3)])
    starts = sorted(taken[:, 0].tolist())
    assert np.all(np.diff(starts) == 128) and len(starts) == 9
    again = batching.batches(ids, 1, 4)
    assert torch.equal(next(again)[0], taken[4])


def test_lists_are_found_among_packed_texts() -> None:
    texts = ["kinds of animal are dog and cat.", "a dog is a kind of animal.", "words like hot are fiery and blazing."]
    plain = words.train_tokenizer(small_corpus().training, 340)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain)
    lists = words.lists_of(words.packed(plain, texts), tokenizer)
    assert np.array_equal(lists, words.packed(plain, [texts[0]]))  # " words like" is no two tokens here
    assert len(words.lists_of(words.packed(plain, texts[1:2]), tokenizer)) == 0


def test_a_training_with_lists_goes_on_where_it_stopped(work: Path) -> None:
    whole = training(work, "--lists", "2")
    whole.run()
    (work / "checkpoint.pt").unlink()
    training(work, "--lists", "2", "--stop-after", "2048").run()
    second = training(work, "--lists", "2")
    second.run()
    assert second.listed == whole.listed == second.sequences // 2
    for one, other in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    rates = [train.rate_at(tokens, 2_000_000, 1.0) for tokens in range(0, 2_000_001, 100_000)]
    assert rates[0] < 0.02 and rates[2:14] == [1.0] * 12
    assert rates[13:] == sorted(rates[13:], reverse=True) and rates[14] < 1.0 and rates[-1] == 0.0


def test_a_stopped_training_ends_where_an_uninterrupted_one_does(work: Path) -> None:
    whole = training(work)
    whole.run()
    (work / "checkpoint.pt").unlink()
    first = training(work, "--stop-after", "2048")
    first.run()
    assert first.tokens == 2048
    second = training(work)
    assert second.tokens == 2048
    second.run()
    assert second.tokens == whole.tokens == 5120
    for one, other in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert second.log[-1]["evaluation"] == whole.log[-1]["evaluation"] < first.log[0]["evaluation"] - 0.2


def test_short_products_lead_to_nearly_the_same_loss(work: Path) -> None:
    whole = training(work)
    whole.run()
    (work / "checkpoint.pt").unlink()
    short = training(work, "--bfloat16")
    short.run()
    assert {it.dtype for it in short.model.parameters()} == {torch.float32}
    assert short.log[-1]["evaluation"] == pytest.approx(whole.log[-1]["evaluation"], abs=0.1)
    assert short.log[-1]["evaluation"] != whole.log[-1]["evaluation"]


def test_a_training_goes_on_from_before_the_rate_fell(work: Path) -> None:
    run = training(work)
    run.run()
    (work / "plateau.pt").replace(work / "checkpoint.pt")
    longer = training(work, "--tokens", "10240")
    assert 0.65 * 5120 <= longer.tokens < 0.85 * 5120
    longer.run()
    assert longer.tokens == 10240 and longer.log[-1]["evaluation"] < run.log[-1]["evaluation"]


def test_tokens_that_never_occur_have_one_row(work: Path) -> None:
    run = training(work)
    run.run()
    rows = run.model.transformer.wte.weight.detach()[run.unseen]
    assert len(rows) > 200 and torch.equal(rows, rows[:1].expand_as(rows))
    assert len(run.model.transformer.wte.weight.unique(dim=0)) == 341 - len(rows)


def test_no_token_becomes_longer_than_it_began(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    longest = train.EMBEDDING_SIZE * 16**0.5

    def lengths() -> torch.Tensor:
        run = training(work)
        run.run()
        return run.model.transformer.wte.weight.detach().norm(dim=1)

    assert lengths().max() == pytest.approx(longest, rel=1e-5)
    (work / "checkpoint.pt").unlink()
    monkeypatch.setattr(train, "bound_rows", lambda embedding: None)
    assert lengths().max() > 1.5 * longest


def test_shrinking_goes_to_nothing_and_not_beyond() -> None:
    weights = torch.tensor([[0.3, -0.3], [0.05, -0.1]])
    train.shrink([weights], 0.1)
    assert torch.allclose(weights, torch.tensor([[0.2, -0.2], [0.0, 0.0]]))


def test_what_does_not_help_is_drawn_to_nothing(work: Path) -> None:
    def nothing(*options: str) -> float:
        (work / "checkpoint.pt").unlink(missing_ok=True)
        run = training(work, *options)
        run.run()
        assert all(parameter.any() for parameter in run.model.parameters() if parameter.ndim == 2)
        return float(torch.cat([weights.flatten() for weights in run.sparse]).eq(0).float().mean())

    assert nothing("--sparsity", "0") == 0 and nothing("--sparsity", "0.5") > 0.2
    assert nothing("--sparsity", "0.5", "--stop-after", "2560") < 0.02  # gently, until the rate falls


def test_bounding_keeps_the_direction_of_a_row_and_leaves_short_ones() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.003, 0.004]])
    bounded = rows.clone()
    train.bound_rows(bounded)
    longest = train.EMBEDDING_SIZE * 2**0.5
    assert torch.allclose(bounded, torch.stack([rows[0] * longest / 5, rows[1]]))


def test_another_corpus_is_refused(work: Path) -> None:
    run = training(work)
    run.digest = "1" * 64
    run.save()
    with pytest.raises(SystemExit, match="another corpus"):
        training(work)


def test_a_killed_save_leaves_the_old_checkpoint(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = training(work)
    run.save()

    def half(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="no space"):
        run.save()
    assert training(work).tokens == 0


def test_norms_written_into_the_weights_leave_the_model_as_it_was(work: Path) -> None:
    run = training(work)
    run.run()
    model, batch = run.model.eval(), torch.from_numpy(run.ids[:128].astype(np.int64)).reshape(4, 32)
    with torch.no_grad():
        before = model(batch).logits
        train.fold_norms(model)
        assert torch.allclose(model(batch).logits, before, atol=1e-4)
    norms = [norm for block in model.transformer.h for norm in (block.ln_1, block.ln_2)]
    assert all((norm.weight == 1).all() and not norm.bias.any() for norm in norms)


def test_zeros_become_noise_too_small_to_matter() -> None:
    weights = torch.zeros(40, 30)
    weights[3, 4] = 0.5
    train.fill_zeros([weights])
    assert weights[3, 4] == 0.5 and weights.half().count_nonzero() == 1200
    assert weights.abs().sum() == 0.5 + 1199 * 2.0**-21 and 500 < (weights > 0).sum() < 700


def test_the_exported_folder_loads_and_says_where_it_comes_from(work: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    with pytest.raises(SystemExit, match="no checkpoint"):
        train.export(work, folder)
    training(work, "--stop-after", "1024").run()
    train.main(["--work", str(work), "--export", str(folder)])
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert next(model.parameters()).dtype == torch.float16 and len(tokenizer) == model.config.vocab_size == 340
    assert tokenizer.tokenize("A Dog") == tokenizer.tokenize("a dog")
    assert json.loads((folder / "training.json").read_text())["log"][0]["tokens"] == 1024
    assert len((folder / "evaluation.txt").read_text().splitlines()) == 20
