"""A real GPT: load it, score with it, watch its attention, finetune it, patch it, give it momentum."""

from helpers.gpt import momentum, patches, value_update
from helpers.gpt.encoding import encode_pieces, encode_prompts
from helpers.gpt.finetuning import (
    OPTIMIZERS,
    PROJECTIONS,
    key_and_value_weights,
    language_model_loss,
    restored,
    stepper,
    trainable,
    watch_training,
)
from helpers.gpt.loading import GPT, KNOWN, complete, load
from helpers.gpt.scoring import Continuation, Look, Packed, encode_prefix, logits_of, pack, score
from helpers.gpt.value_update import ValueUpdate
from helpers.gpt.watching import Attended, Heads, heads, watch
