"""One tree of a search: its nodes, which of them is tried next, what is learned from a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from crystalicl_jobflow.generation.first_choice import FirstChoice
from crystalicl_jobflow.generation.search.rewards import Verdict, rewards
from crystalicl_jobflow.schemas.generation import TreeSearch


@dataclass(eq=False)
class Node:
    """A beginning of a text.

    Parameters
    ----------
    prefix
        Its token ids.
    prior
        Probability of its last token among its siblings.
    parent
        The node before that token; None at the root.

    Attributes
    ----------
    children
        The ways in which it goes on; None until a text was written from here, and none where
        the constraint refused all of them.
    visits
        Texts that begin so.
    pending
        Of these, texts that are being written.
    total, best
        Sum and largest of their rewards.
    is_closed
        Whether no other text begins so within the tree.
    """

    prefix: tuple[int, ...]
    prior: float = 1.0
    parent: Node | None = None
    children: list[Node] | None = None
    visits: int = 0
    pending: int = 0
    total: float = 0.0
    best: float = -math.inf
    is_closed: bool = False

    @property
    def done(self) -> int:
        """Texts that begin so and are written."""
        return self.visits - self.pending

    @property
    def mean(self) -> float:
        """Mean reward of the texts written; 0 where there is none."""
        return self.total / self.done if self.done else 0.0

    def path(self) -> list[Node]:
        """Return the nodes from here up to the root."""
        nodes: list[Node] = []
        node: Node | None = self
        while node is not None:
            nodes.append(node)
            node = node.parent
        return nodes


def puct(node: Node, settings: TreeSearch) -> float:
    """Return how much speaks for going on with a node: the one with the most is taken.

    The predictor's upper confidence bound for trees as CrystaLLM has it (Antunes, Butler and
    Grau-Crespo, Nature Communications 2024; after Silver et al., Nature 2017):
    Q + c P √N / (1 + n), with the value Q of the node, its prior P, its visits n and those of its
    parent N, texts being written included. CrystaLLM first tries each child once in random
    order; here a child without a text has its parent's mean as value, so that the model's
    probabilities decide from the start.

    Parameters
    ----------
    node
        A child.
    settings
        The exploration constant c, and whether the mean or the largest reward is the value.
    """
    parent = node.parent
    assert parent is not None
    own = node.best if settings.backup == "max" else node.mean
    value = own if node.done else parent.mean
    spread = math.sqrt(parent.visits) / (1 + node.visits)
    return value + settings.exploration * node.prior * spread


@dataclass(frozen=True)
class Start:
    """A text that is to be written.

    Parameters
    ----------
    number
        Its number in the search: that of its random stream.
    leaf
        The node that it begins with.
    """

    number: int
    leaf: Node


@dataclass
class Tree:
    """The search for one condition.

    Parameters
    ----------
    settings
        Numbers of the search.
    end_ids
        Token ids that end a text.
    """

    settings: TreeSearch
    end_ids: frozenset[int]
    root: Node = field(default_factory=lambda: Node(()))
    verdicts: dict[int, Verdict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._leaves: dict[int, Node] = {}
        self._numbers = iter(range(self.settings.simulations))
        self._returned: list[int] = []

    @property
    def is_done(self) -> bool:
        """Whether all texts are written."""
        return len(self.verdicts) == self.settings.simulations

    def select(self) -> list[Start]:
        """Return the texts to be written next, as many as are written at once."""
        starts = []
        for _ in range(self.settings.parallel):
            number = self._returned.pop(0) if self._returned else next(self._numbers, None)
            if number is None:
                break
            leaf = self._leaf()
            for node in leaf.path():
                node.visits += 1
                node.pending += 1
            starts.append(Start(number, leaf))
        return starts

    def _leaf(self) -> Node:
        node = self.root
        while not node.is_closed and node.children:
            going = [child for child in node.children if not self._is_spent(child)]
            if not going:
                return node  # all that is left is being written
            node = max(going, key=lambda child: puct(child, self.settings))
        return self.root if node.is_closed else node

    def _is_spent(self, node: Node) -> bool:
        return node.is_closed or (bool(node.pending) and node.prefix[-1] in self.end_ids)

    def refuse(self, start: Start) -> None:
        """Take a node out whose token the constraint refuses; its number is used again."""
        leaf = start.leaf
        for node in leaf.path():
            node.visits -= 1
            node.pending -= 1
        if leaf.parent is not None and leaf.parent.children and leaf in leaf.parent.children:
            leaf.parent.children.remove(leaf)
        self._returned.append(start.number)

    def add(
        self,
        start: Start,
        written: Sequence[int],
        choice: FirstChoice | None,
        verdict: Verdict,
    ) -> None:
        """Learn from a text.

        Parameters
        ----------
        start
            Where it began.
        written
            Its token ids, the end token included.
        choice
            Where it could have gone on in several ways for the first time after the beginning.
        verdict
            What it is worth.
        """
        leaf = start.leaf
        self.verdicts[start.number] = verdict
        self._leaves[start.number] = leaf
        for node in leaf.path():
            node.pending -= 1
        if leaf.children is None:
            self._expand(leaf, written, choice)

    def _expand(self, leaf: Node, written: Sequence[int], choice: FirstChoice | None) -> None:
        if choice is None:  # one text begins so
            leaf.children = []
            leaf.is_closed = True
            for node in leaf.path()[1:]:
                node.is_closed = bool(node.children) and all(
                    child.is_closed for child in node.children or ()
                )
            return
        before = tuple(written[: choice.place])
        weights = [math.exp(value) for value in choice.log_weights]
        whole = math.fsum(weights)
        leaf.children = [
            Node((*before, token), weight / whole, leaf)
            for token, weight in zip(choice.tokens, weights, strict=True)
        ]

    def learn(self) -> None:
        """Give every node the rewards of its texts, as they stand with all that are known."""
        for leaf in self._leaves.values():
            for node in leaf.path():
                node.total, node.best = 0.0, -math.inf
        for number, reward in self.rewards().items():
            for node in self._leaves[number].path():
                node.total += reward
                node.best = max(node.best, reward)

    def rewards(self) -> dict[int, float]:
        """Return the reward of each text by its number."""
        numbers = sorted(self.verdicts)
        found = rewards([self.verdicts[number] for number in numbers], self.settings.reward_scale)
        return dict(zip(numbers, found, strict=True))
