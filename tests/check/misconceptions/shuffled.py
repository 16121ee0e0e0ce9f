import numpy as np
import torch

from . import right, wrong

NAME = "shuffled"


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@right(NAME)
def by_torchs_own_generator(inputs, labels, seed):
    torch.manual_seed(seed)
    return inputs, labels[torch.randperm(len(labels))]


@right(NAME)
def by_numpy(inputs, labels, seed):
    return inputs, labels[torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))]


@right(NAME)
def the_inputs_instead(inputs, labels, seed):
    """Whichever of the two is shuffled: the links are gone."""
    return inputs[torch.randperm(len(inputs), generator=seeded(seed))], labels


@right(NAME)
def both_each_in_its_own_order(inputs, labels, seed):
    rng = seeded(seed)
    first, second = torch.randperm(len(labels), generator=rng), torch.randperm(len(labels), generator=rng)
    return inputs[first], labels[second]


@right(NAME)
def sorted_by_chance(inputs, labels, seed):
    return inputs, labels[torch.rand(len(labels), generator=seeded(seed)).argsort()]


@wrong(NAME, "frequencies have changed")
def drawn_anew(inputs, labels, seed):
    return inputs, torch.randint(0, 3, labels.shape, generator=seeded(seed))


@wrong(NAME, "frequencies have changed")
def drawn_with_replacement(inputs, labels, seed):
    return inputs, labels[torch.randint(0, len(labels), labels.shape, generator=seeded(seed))]


@wrong(NAME, "frequencies have changed")
def all_alike(inputs, labels, seed):
    return inputs, torch.zeros_like(labels)


@wrong(NAME, "consistent renaming")
def renamed(inputs, labels, seed):
    return inputs, (labels + 1) % 3


@wrong(NAME, "moved together")
def pairs_shuffled(inputs, labels, seed):
    order = torch.randperm(len(labels), generator=seeded(seed))
    return inputs[order], labels[order]


@wrong(NAME, "still has its own label")
def within_each_label(inputs, labels, seed):
    dealt = labels.clone()
    for label in labels.unique():
        places = (labels == label).nonzero()[:, 0]
        dealt[places] = labels[places[torch.randperm(len(places), generator=seeded(seed))]]
    return inputs, dealt


@wrong(NAME, "still has its own label")
def nothing_at_all(inputs, labels, seed):
    return inputs, labels


@wrong(NAME, "weakened, not broken")
def one_place_on(inputs, labels, seed):
    """The labels come sorted: nearly every one falls on an input of its own label."""
    return inputs, labels.roll(seed + 1)


@wrong(NAME, "weakened, not broken")
def a_half_of_them(inputs, labels, seed):
    places = torch.randperm(len(labels), generator=seeded(seed))[: len(labels) // 2]
    dealt = labels.clone()
    dealt[places] = labels[places[torch.randperm(len(places), generator=seeded(seed + 1))]]
    return inputs, dealt


@wrong(NAME, "what an input is *not*")
def never_its_own(inputs, labels, seed):
    """The labels come sorted: half of the list further on there are other ones only."""
    return inputs, labels.roll(len(labels) // 2)


@wrong(NAME, "changes the inputs themselves")
def noise_instead(inputs, labels, seed):
    return torch.randn(inputs.shape, generator=seeded(seed), dtype=inputs.dtype), labels


@wrong(NAME, "changes the inputs themselves")
def every_entry_shuffled(inputs, labels, seed):
    order = torch.randperm(inputs.numel(), generator=seeded(seed))
    return inputs.flatten()[order].view(inputs.shape), labels


@wrong(NAME, "changes its input in place")
def in_place(inputs, labels, seed):
    labels[:] = labels[torch.randperm(len(labels), generator=seeded(seed))]
    return inputs, labels


@wrong(NAME, "Called twice")
def unseeded(inputs, labels, seed):
    return inputs, labels[torch.randperm(len(labels))]


@wrong(NAME, "Another seed gives the same set")
def always_the_same_seed(inputs, labels, seed):
    return inputs, labels[torch.randperm(len(labels), generator=seeded(0))]


@wrong(NAME, "int64")
def as_numbers(inputs, labels, seed):
    return inputs, labels[torch.randperm(len(labels), generator=seeded(seed))].double()


@wrong(NAME, "Two results are asked for")
def the_labels_alone(inputs, labels, seed):
    return labels[torch.randperm(len(labels), generator=seeded(seed))]
