"""Planes in GPU memory, exchanged with PyAV as DLPack tensors (https://dmlc.github.io/dlpack)."""

from __future__ import annotations

import ctypes
from typing import Any

CUDA_DEVICE = 2  # kDLCUDA


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int32), ("number", ctypes.c_int32))


class _Type(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("dimensions", ctypes.c_int32),
        ("type", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("delete", _Deleter))


_BYTES = _Type(1, 8, 1)  # unsigned, 8 bits, one lane
_NAME = b"dltensor"
# By address: tensors that another library still reads, and the objects that own their memory
_held: dict[int, tuple[Any, ...]] = {}


_delete = _Deleter(lambda address: _held.pop(address, None) and None)
_api = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


def plane_capsule(
    owner: object, address: int, shape: tuple[int, int], pitch: int, device: tuple[int, int]
) -> Any:
    """A plane of uint8 values as a DLPack capsule, for another library to read.

    Args:
        owner: the object whose memory this is; it is kept alive until the library frees the plane.
        address: of the first byte, in GPU memory.
        shape: (rows, columns).
        pitch: distance between the starts of two rows, in bytes.
        device: device type and number, as DLPack defines them.
    """
    sides, strides = (ctypes.c_int64 * 2)(*shape), (ctypes.c_int64 * 2)(pitch, 1)
    tensor = _Tensor(address, _Device(*device), 2, _BYTES, sides, strides, 0)
    managed = _Managed(tensor, None, _delete)
    at = ctypes.addressof(managed)
    _held[at] = (owner, managed, sides, strides)
    return _api.PyCapsule_New(at, _NAME, None)


class ForeignPlane:
    """A plane of another library. Its memory stays valid as long as this object exists.

    Attributes:
        address: of the first byte, in GPU memory.
        pitch: distance between the starts of two rows, in bytes.
    """

    def __init__(self, plane: Any) -> None:
        """Args: plane, any object with the method `__dlpack__`, such as PyAV's planes."""
        self._capsule = plane.__dlpack__()
        at = _api.PyCapsule_GetPointer(self._capsule, _NAME)
        tensor = _Managed.from_address(at).tensor
        self.address: int = tensor.data + tensor.offset
        self.pitch: int = tensor.strides[0]
