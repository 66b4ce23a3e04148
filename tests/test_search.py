"""The search against a plain loop that reads every prompt from its start."""

import math
import random
from pathlib import Path
from unittest import mock

import pytest
import torch
from conftest import byte_level_tokenizer, unigram_tokenizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    T5Config,
)

from spacy_instructner.decoding.beam_search import search
from spacy_instructner.decoding.request import Answer, DecodingRequest
from spacy_instructner.decoding.speculative import SpeculativeDecoder
from spacy_instructner.models.backbone import Backbone
from spacy_instructner.models.causal import CausalBackbone
from spacy_instructner.models.seq2seq import Seq2SeqBackbone
from spacy_instructner.tasks.instruction_ner import build_instruction_ner_v1
from spacy_instructner.tasks.labels import make_label_set

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 400,
    "head_dim": 16,
}
CONFIGS = {
    "llama": LlamaConfig(**SMALL),
    "qwen2": Qwen2Config(**{k: v for k, v in SMALL.items() if k != "head_dim"}),
    "mistral": MistralConfig(**SMALL),
    "gemma2": Gemma2Config(**SMALL, final_logit_softcapping=3.0),
    "granite": GraniteConfig(
        **{k: v for k, v in SMALL.items() if k != "head_dim"}, logits_scaling=4.0
    ),
    "gpt2": GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=400),
    "gpt_neox": GPTNeoXConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=400,
    ),
}


SEQ2SEQ = {
    "t5": T5Config(
        d_model=64, d_kv=16, d_ff=96, num_layers=2, num_heads=4, n_positions=400
    ),
    "flan-t5": T5Config(
        d_model=64,
        d_kv=16,
        d_ff=96,
        num_layers=2,
        num_heads=4,
        n_positions=400,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    ),
    "bart": BartConfig(
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=96,
        decoder_ffn_dim=96,
        max_position_embeddings=400,
    ),
}
ALL = [*CONFIGS, *SEQ2SEQ]


def make_seq2seq(kind: str) -> Seq2SeqBackbone:
    # T5 comes with Unigram tokenizers, BART with byte-level BPE.
    tokenizer = byte_level_tokenizer() if kind == "bart" else unigram_tokenizer()
    config = SEQ2SEQ[kind]
    config.vocab_size = len(tokenizer)
    config.pad_token_id = config.decoder_start_token_id = tokenizer.pad_token_id
    config.eos_token_id = tokenizer.eos_token_id
    torch.manual_seed(2)
    model = AutoModelForSeq2SeqLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4 if kind == "bart" else 1.5)
        if kind == "bart":
            model.final_logits_bias += torch.randn(1, len(tokenizer))
    return Seq2SeqBackbone(model.eval(), tokenizer)


def make_backbone(kind: str) -> Backbone:
    if kind in SEQ2SEQ:
        return make_seq2seq(kind)
    tokenizer = byte_level_tokenizer()
    config = CONFIGS[kind]
    config.vocab_size = len(tokenizer)
    config.pad_token_id = config.eos_token_id = tokenizer.eos_token_id
    torch.manual_seed(1)
    # Eager, as transformers' fused attention leaves out what Gemma 2 does to scores.
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**config.to_dict()), attn_implementation="eager"
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
    return CausalBackbone(model.eval(), tokenizer)


def make_questions(backbone: Backbone, count: int, seed: int) -> list[DecodingRequest]:
    rng = random.Random(seed)
    names = ["Anna", "Bert", "lives", "in", "Rome", "Paris", "is", "a", "person", ","]
    labels = make_label_set(
        ["PERSON", "PLACE", "OLD_PLACE"], {"OLD_PLACE": "place of old"}, {}
    )
    task = build_instruction_ner_v1().bind(
        backbone.encoder, labels, backbone.tokenizer.eos_token_id
    )
    requests = []
    for _ in range(count):
        words = [rng.choice(names) for _ in range(rng.randint(0, 9))]
        spaces = [bool(i) and rng.random() < 0.8 for i in range(len(words))]
        encoded = backbone.encoder.words(words, spaces, 50)
        requests.extend(task.requests(encoded))
    return requests


def own_logits(backbone: Backbone, prompt: list[int], said: list[int]) -> torch.Tensor:
    """The model's own logits after a prompt and what was said."""
    with torch.no_grad():
        if not isinstance(backbone, Seq2SeqBackbone):
            return backbone.hf(torch.tensor([prompt + said])).logits[0, -1].float()
        return (
            backbone.hf(
                input_ids=torch.tensor([[*prompt, *backbone.encoder.end]]),
                decoder_input_ids=torch.tensor([[backbone.decoder_start, *said]]),
            )
            .logits[0, -1]
            .float()
        )


def plain_greedy(backbone: Backbone, request: DecodingRequest) -> tuple[tuple, list]:
    """Ids and the log-probability of each, reading everything anew every time."""
    ids = list(request.prefix + request.suffix)
    said: list[int] = []
    logprobs: list[float] = []
    state = request.grammar.start()
    while not state.done:
        logits = own_logits(backbone, ids, said)
        allowed = list(state.allowed)
        legal = torch.log_softmax(logits[allowed], dim=0)
        best = int(legal.argmax())
        logprobs.append(float(legal[best]))
        said.append(allowed[best])
        state = state.step(allowed[best])
    return tuple(said), logprobs


@pytest.mark.parametrize("kind", ALL)
def test_greedy_is_what_a_plain_loop_finds(kind: str) -> None:
    backbone = make_backbone(kind)
    requests = make_questions(backbone, 24, 0)
    answers = search(backbone, requests, batch_tokens=40)
    spans = 0
    for request, answer in zip(requests, answers):
        ids, logprobs = plain_greedy(backbone, request)
        assert answer.ids == ids
        assert answer.complete
        assert answer.logprob == pytest.approx(sum(logprobs), abs=2e-4)
        spans += len(answer.spans)
    assert spans > 5


def test_scores_multiply_to_the_answer() -> None:
    """A span's score is made of the choices between the label before and its own
    label's end; with the choice to end, they make up the whole answer."""
    backbone = make_backbone("llama")
    for request, answer in zip(
        make_questions(backbone, 20, 3),
        search(backbone, make_questions(backbone, 20, 3)),
    ):
        ids, logprobs = plain_greedy(backbone, request)
        state = request.grammar.start()
        for token in ids:
            state = state.step(token)
        ends = [clause[3] for clause in state.read()]
        product = math.prod(span.score for span in answer.spans)
        if not ends:
            assert answer.spans == ()
            continue
        # All up to the last label's end belongs to spans. What the id after it
        # says of the label's end belongs there too, hence "at most".
        whole = math.exp(sum(logprobs[: ends[-1]]))
        assert product <= whole + 1e-6
        assert product >= math.exp(sum(logprobs)) - 1e-6
        assert all(0.0 <= span.score <= 1.0 for span in answer.spans)


@pytest.mark.parametrize("kind", ["llama", "t5", "bart"])
@pytest.mark.parametrize("batch_tokens", [1, 100, 10_000])
def test_batching_changes_nothing(batch_tokens: int, kind: str) -> None:
    backbone = make_backbone(kind)
    requests = make_questions(backbone, 30, 5)
    alone = [search(backbone, [request])[0] for request in requests]
    together = search(backbone, requests, batch_tokens)
    for one, other in zip(alone, together):
        assert one.ids == other.ids
        assert [s[:3] for s in flat(one)] == [s[:3] for s in flat(other)]
        for a, b in zip(flat(one), flat(other)):
            assert a[3] == pytest.approx(b[3], abs=1e-4)


def flat(answer: Answer) -> list[tuple]:
    return [(s.start, s.end, s.label, s.score) for s in answer.spans]


def every_answer(backbone: Backbone, request: DecodingRequest) -> list[tuple]:
    """All legal answers with their log-probabilities, by trying them all."""
    found: list[tuple] = []
    stack = [((), 0.0, request.grammar.start())]
    prompt = list(request.prefix + request.suffix)
    while stack:
        ids, logprob, state = stack.pop()
        if state.done:
            found.append((logprob, ids))
            continue
        logits = own_logits(backbone, prompt, list(ids))
        legal = torch.log_softmax(logits[list(state.allowed)], dim=0).tolist()
        for token, value in zip(state.allowed, legal):
            stack.append(((*ids, token), logprob + value, state.step(token)))
    return found


def short_questions(backbone: Backbone, count: int) -> list[DecodingRequest]:
    requests = make_questions(backbone, 60, 11)
    short = [q for q in requests if 1 <= len(q.grammar.words) <= 2]
    assert len(short) >= count
    return short[:count]


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_wide_beam_is_an_exhaustive_search(kind: str) -> None:
    backbone = make_backbone(kind)
    better = 0
    for request in short_questions(backbone, 6):
        answers = every_answer(backbone, request)
        # The probabilities of all legal answers add up to one.
        assert math.fsum(math.exp(p) for p, _ in answers) == pytest.approx(1, abs=1e-4)
        best = max(answers)
        (found,) = search(backbone, [request], width=len(answers))
        assert found.ids == best[1]
        assert found.logprob == pytest.approx(best[0], abs=2e-4)
        (greedy,) = search(backbone, [request])
        assert greedy.logprob <= found.logprob + 1e-4
        better += greedy.ids != found.ids
    assert better > 0


@pytest.mark.parametrize("width", [2, 4])
def test_beams_in_a_batch_do_not_disturb_each_other(width: int) -> None:
    backbone = make_backbone("llama")
    requests = make_questions(backbone, 16, 6)
    alone = [search(backbone, [q], width=width)[0] for q in requests]
    together = search(backbone, requests, 10_000, width=width)
    for one, other in zip(alone, together):
        assert one.ids == other.ids
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)


def test_a_prefix_is_read_once_by_every_reader() -> None:
    backbone = make_backbone("llama")
    requests = make_questions(backbone, 4, 0)
    for reader in (backbone.inference_copy(), backbone.inference_copy()):
        original = reader.prefill_prefix
        with mock.patch.object(
            reader, "prefill_prefix", side_effect=original
        ) as reading:
            search(reader, requests)
            search(reader, requests)
        assert reading.call_count == 1


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_a_reader_attends_outside_of_a_pass_as_its_model_does(kind: str) -> None:
    backbone = make_backbone(kind)
    if kind == "gemma2":
        backbone.hf.config._attn_implementation = "spacy_instructner_eager"
    reader = backbone.inference_copy()
    own = backbone.hf.config._attn_implementation
    assert reader.hf.config._attn_implementation == own
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        assert torch.equal(reader.hf(ids).logits, backbone.hf(ids).logits)


def test_an_answer_without_room_is_broken_off_and_says_so() -> None:
    backbone = make_backbone("llama")
    requests = make_questions(backbone, 30, 2)
    whole = search(backbone, requests)
    longest = max(range(30), key=lambda i: len(whole[i].spans))
    request = requests[longest]
    used = len(request.prefix) + len(request.suffix)
    backbone.hf.config.max_position_embeddings = used + len(whole[longest].ids) // 2
    answer = search(backbone, [request])[0]
    assert not answer.complete
    kept = flat(whole[longest])[: len(answer.spans)]
    assert [span[:3] for span in flat(answer)] == [span[:3] for span in kept]
    assert 0 < len(answer.spans) < len(whole[longest].spans)


def test_a_row_without_room_does_not_disturb_its_neighbours() -> None:
    backbone = make_backbone("llama")
    requests = make_questions(backbone, 6, 4)
    alone = [search(backbone, [request])[0] for request in requests]
    longest = max(range(6), key=lambda i: len(requests[i].suffix))
    bad = requests[longest]
    requests.append(DecodingRequest(bad.prefix, bad.suffix * 40, bad.grammar))
    together = search(backbone, requests, 100_000)
    assert not together[-1].complete and together[-1].spans == ()
    for one, other in zip(alone, together):
        assert one.ids == other.ids
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)


@pytest.mark.parametrize("kind", ALL)
def test_check_accepts_what_agrees(kind: str) -> None:
    make_backbone(kind).check()


def test_check_refuses_what_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = make_backbone("llama")
    monkeypatch.setattr(backbone, "scaled", lambda logits, tokens=None: logits.flip(-1))
    with pytest.raises(ValueError, match="gives other logits"):
        backbone.check()
    config = BloomConfig(hidden_size=32, n_layer=2, n_head=2, vocab_size=400)
    bloom = AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(ValueError, match="BloomForCausalLM cannot be read"):
        CausalBackbone(bloom, byte_level_tokenizer()).check()


def test_a_sliding_window_bounds_the_room() -> None:
    backbone = make_backbone("mistral")
    backbone.hf.config.sliding_window = 64
    assert backbone.positions == 64


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_pass_keeps_to_the_budget_and_long_texts_come_first(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = make_backbone(kind)
    # An empty text leaves no choice: nothing is asked.
    requests = [q for q in make_questions(backbone, 40, 1) if len(q.grammar.words)]
    lengths = {q.suffix: len(q.suffix) for q in requests}
    session = type(backbone.open([requests[0].prefix]))
    admitted: list[list[int]] = []
    under_way: list[int] = []

    add_requests, keep, extend = session.add_requests, session.reorder, session.forward

    def admits(self, prompts):  # type: ignore[no-untyped-def]
        admitted.append([lengths[suffix] for _, suffix in prompts])
        under_way.extend(admitted[-1])
        return add_requests(self, prompts)

    def keeps(self, rows):  # type: ignore[no-untyped-def]
        under_way[:] = [under_way[row] for row in rows]
        return keep(self, rows)

    def extends(self, rows, marks):  # type: ignore[no-untyped-def]
        assert len(under_way) == len(rows)
        # What is kept of the texts is padded to the longest: that has a limit, too.
        assert sum(under_way) <= 60 or len(rows) == 1
        assert len(rows) * max(under_way) <= 120
        return extend(self, rows, marks)

    monkeypatch.setattr(session, "add_requests", admits)
    monkeypatch.setattr(session, "reorder", keeps)
    monkeypatch.setattr(session, "forward", extends)
    search(backbone, requests, 60)
    order = [length for batch in admitted for length in batch]
    assert order == sorted(lengths[q.suffix] for q in requests)[::-1]
    # Where rows can join, one takes the place of another before all are answered.
    assert (
        len(admitted) > 8
        and (min(map(len, admitted)) == 1) == session.supports_continuous_batching
    )


def test_guesses_save_passes_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backbone = make_backbone("llama")
    requests = make_questions(backbone, 60, 8)
    passes: list[int] = []
    session = type(backbone.open([requests[0].prefix]))
    extend = session.forward

    def extends(self, rows, marks):  # type: ignore[no-untyped-def]
        passes.append(sum(map(len, rows)))
        return extend(self, rows, marks)

    monkeypatch.setattr(session, "forward", extends)

    def run(worth_it: float, trials: int) -> tuple[list[Answer], int, int]:
        passes.clear()
        monkeypatch.setattr(SpeculativeDecoder, "WORTH_IT", worth_it)
        monkeypatch.setattr(SpeculativeDecoder, "TRIALS", trials)
        return search(backbone, requests, 100), len(passes), sum(passes)

    never, most, fewest = run(2.0, 0)
    always, few, more = run(0.0, 0)
    some, _, between = run(0.99, 5)
    assert few < 0.8 * most
    # Wrong guesses cost ids; what is mostly wrong is given up.
    assert fewest < between < more
    for one, *others in zip(never, always, some):
        for other in others:
            assert one.ids == other.ids
            assert one.logprob == pytest.approx(other.logprob, abs=2e-4)


def test_no_vocabulary_row_is_computed_but_the_reachable(tmp_path: Path) -> None:
    backbone = make_backbone("llama")
    seen: list[int] = []
    original = backbone.logits

    def logits(hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        seen.append(len(tokens))
        return original(hidden, tokens)

    backbone.logits = logits  # type: ignore[method-assign]
    search(backbone, make_questions(backbone, 2, 0))
    assert seen and max(seen) < 40
