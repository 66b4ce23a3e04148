"""Settings of the search."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodingConfig:
    """beam_width: answers kept at every decision (1: greedy); max_span: most
    tokens in an entity, 0 for no limit; batch_tokens: most text ids that are
    under way together."""

    beam_width: int = 1
    max_span: int = 0
    batch_tokens: int = 2048

    def __post_init__(self) -> None:
        if self.beam_width < 1:
            raise ValueError(f"`beam_width` must be at least 1, not {self.beam_width}.")
        if self.max_span < 0:
            raise ValueError(f"`max_span` must be 0 or more, not {self.max_span}.")
        if self.batch_tokens < 1:
            raise ValueError(
                f"`batch_tokens` must be at least 1, not {self.batch_tokens}."
            )


def build_decoder_v1(
    beam_width: int = 1, max_span: int = 0, batch_tokens: int = 2048
) -> DecodingConfig:
    """Registered as `spacy-instructner.Decoder.v1`.

    beam_width (int): answers kept at every decision; 1 is greedy.
    max_span (int): most tokens in an entity; 0 for no limit.
    batch_tokens (int): most text ids that are under way together.
    RETURNS (Decoder): the settings.
    """
    return DecodingConfig(beam_width, max_span, batch_tokens)
