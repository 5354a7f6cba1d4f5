"""What several threads want at about the same time: made once, kept for a while."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock

from torch import Tensor


class Recent:
    """The tensors that were last asked for.

    Args:
        limit_bytes: Of all that is kept; the latest is kept in any case.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[Hashable, Future[Tensor]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """The tensor called `key`; `make` makes it, for the first that asks.

        Raises:
            BaseException: What `make` raises, for all that wait for it; the next one tries again.
        """
        with self._lock:
            tensor = self._kept.get(key)
            first = tensor is None
            if tensor is None:
                tensor = self._kept[key] = Future()
        if first:
            self._fulfil(key, tensor, make)
        return tensor.result()

    def _fulfil(self, key: Hashable, tensor: Future[Tensor], make: Callable[[], Tensor]) -> None:
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                del self._kept[key]
            tensor.set_exception(error)
            return
        with self._lock:  # nobody makes room in between
            tensor.set_result(made)
            self._kept.move_to_end(key)
            self._make_room()

    def _make_room(self) -> None:
        done = [(key, it.result()) for key, it in self._kept.items() if it.done()]
        used = sum(it.numel() * it.element_size() for _, it in done)
        for key, it in done[:-1]:
            if used <= self._limit_bytes:
                return
            del self._kept[key]
            used -= it.numel() * it.element_size()
