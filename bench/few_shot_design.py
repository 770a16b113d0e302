"""The trainings of `few_shot`: the cases that each one learns from, and those that it is tested on.

The cases are divided into folds. A training with few cases learns from the first cases of an order of all
other folds, and is tested on its whole fold, so that every case is a test case once. A training that needs
more cases than the other folds have leaves one case out: it is tested on that case alone. The order of a fold
is the same for all numbers of cases and all methods, so that fewer cases are always a part of more cases. It
is no matter of chance, which would decide what one or two cases show: the first cases are spread over all.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

BUILTIN, SCRATCH, SEGRESNET, NNUNET = "builtin", "scratch", "segresnet", "nnunet"
METHODS = {
    BUILTIN: "glioseg from the built-in model",
    SCRATCH: "glioseg from scratch",
    SEGRESNET: "MONAI SegResNet",
    NNUNET: "nnU-Net v2",
}


@dataclass(frozen=True)
class Training:
    """One training of one method.

    `fold`: number of the fold of its test cases, from 1, and 0 for the built-in model without training;
    `cases`: names of the training cases; `tests`: names of the test cases; `whole_fold`: whether the test
    cases are all of a fold.
    """

    method: str
    fold: int
    cases: tuple[str, ...]
    tests: tuple[str, ...]
    whole_fold: bool = True

    @property
    def name(self) -> str:
        """A name for commands and files.

        >>> Training("nnunet", 2, ("a", "b"), ("c",), whole_fold=False).name
        'n02_c_nnunet'
        """
        place = [f"fold{self.fold}" if self.whole_fold else self.tests[0]] if self.cases else []
        return "_".join([f"n{len(self.cases):02d}", *place, self.method])


def design(ranked: Sequence[str], *, sizes: Sequence[int], folds: int) -> list[Training]:
    """All trainings, most informative first.

    The first is the built-in model without training. Then fold after fold, so that what there is after each
    fold is a complete comparison on some of the cases: the most cases, the fewest, those between, and last
    the many trainings that leave one case out. The methods take turns.

    Args:
        ranked: names of the cases, similar ones beside each other.
        sizes: numbers of training cases above 0, ascending; numbers that leave no test case are skipped.
        folds: number of folds.
    """
    groups = deal(ranked, folds)
    by_fold = [size for size in sizes if size <= len(ranked) - max(map(len, groups))]
    by_case = [size for size in sizes if size not in by_fold and size < len(ranked)]
    trainings = [Training(BUILTIN, 0, (), tuple(ranked))]
    for fold, tests in enumerate(groups, start=1):
        order, rest = spread([case for case in ranked if case not in tests]), spread(tests)
        for size in extremes_first(by_fold):
            trainings += _of_all_methods(fold, order[:size], tests)
        for size in by_case:
            for test in tests:
                others = [*order, *(case for case in rest if case != test)]
                trainings += _of_all_methods(fold, others[:size], [test], whole_fold=False)
    return trainings


def _of_all_methods(
    fold: int, cases: Sequence[str], tests: Sequence[str], *, whole_fold: bool = True
) -> Iterator[Training]:
    for method in METHODS:
        yield Training(method, fold, tuple(cases), tuple(tests), whole_fold)


def deal(ranked: Sequence[str], folds: int) -> list[list[str]]:
    """Divide ranked cases into folds, to and fro, so that each fold has cases of all ranks.

    >>> deal("abcdefg", 3)
    [['a', 'f', 'g'], ['b', 'e'], ['c', 'd']]
    """
    groups: list[list[str]] = [[] for _ in range(folds)]
    for case, fold in zip(ranked, cycle([*range(folds), *reversed(range(folds))]), strict=False):
        groups[fold].append(case)
    return groups


def spread(ranked: Sequence[str]) -> list[str]:
    """An order that spans the ranks from its first cases on: the middle, then the middle of each half, etc.

    >>> "".join(spread("abcdefg"))
    'dbfaceg'
    """
    order, parts = [], deque([ranked])
    while parts:
        if part := parts.popleft():
            middle = len(part) // 2
            order.append(part[middle])
            parts += [part[:middle], part[middle + 1 :]]
    return order


def extremes_first(sizes: Sequence[int]) -> list[int]:
    """The largest of ascending numbers, the smallest, and then the others from the largest down.

    >>> extremes_first([1, 2, 4, 8]), extremes_first([3]), extremes_first([])
    ([8, 1, 4, 2], [3], [])
    """
    return list(dict.fromkeys([*sizes[-1:], *sizes[:1], *reversed(sizes)]))
