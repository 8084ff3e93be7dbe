"""What an append stores, however it came: in our own format, or of what a provider gave. Pure."""

from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

from lib import errors
from lib.errors import Place
from lib.models import MAX_INTEGER, NewMessage


class Batch(NamedTuple):
    """What an append stores: the JSON text of a models.Append, and its messages.

    Messages in JSON may have a member native besides, of the format; all of these take native_bytes. sources has for
    each message the places, from 0, of the provider's messages that it comes from, and given the tokens that the client
    says these have.
    """

    body: str
    messages: Sequence[NewMessage]
    native_bytes: int = 0
    sources: Sequence[Sequence[int]] = ()
    given: Sequence[int] | None = None

    def token_counts(self, counted: Sequence[int]) -> list[int]:
        """The tokens of each message, where these were counted: as counted where the client says nothing.

        Else those given: added up where several became one, and shared as they were counted where one became several.
        Raises InvalidBody where they add up to more than a message may have.
        """
        if self.given is None:
            return list(counted)
        shares: list[int] = []
        for places, group in groupby(range(len(counted)), self.sources.__getitem__):
            total = sum(self.given[place] for place in places)
            if total > MAX_INTEGER:
                raise errors.InvalidBody(places=[Place("/tokenCounts", "add up to too many tokens in one message")])
            own = [counted[place] for place in group]
            # Of what nothing is counted the first has all.
            sums = list(accumulate(own if any(own) else [1, *own[1:]], initial=0))
            shares += [total * after // sums[-1] - total * before // sums[-1] for before, after in pairwise(sums)]
        return shares
