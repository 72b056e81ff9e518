"""batches.py: record batches for the oracle: made record by record (also wrong ones) and taken apart again, with the
codecs of the system's libraries."""
import ctypes
import ctypes.util
import struct
import zlib

from messages import Malformed, Reader

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
NAMES = ["none", "gzip", "snappy", "lz4", "zstd"]


def library(name):
    path = ctypes.util.find_library(name)
    if not path:
        raise ImportError(f"lib{name} is not installed")
    return ctypes.CDLL(path)


lz4, snappy, zstd = library("lz4"), library("snappy"), library("zstd")
for function in (lz4.LZ4F_compressFrameBound, lz4.LZ4F_compressFrame, lz4.LZ4F_decompress, zstd.ZSTD_compressBound,
                 zstd.ZSTD_compress, zstd.ZSTD_decompress, snappy.snappy_max_compressed_length):
    function.restype = ctypes.c_size_t
zstd.ZSTD_compress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
lz4.LZ4F_compressFrame.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p]
lz4.LZ4F_compressFrameBound.argtypes = [ctypes.c_size_t, ctypes.c_void_p]
MOST = 8 << 20


def crc_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ 0x82F63B78 if n & 1 else n >> 1
        table.append(n)
    return table


TABLE = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for b in data:
        crc = crc >> 8 ^ TABLE[(crc ^ b) & 0xFF]
    return crc ^ 0xFFFFFFFF


def pack(codec, data):
    if codec == GZIP:
        z = zlib.compressobj(6, zlib.DEFLATED, 31)
        return z.compress(data) + z.flush()
    if codec == SNAPPY:
        size = ctypes.c_size_t(snappy.snappy_max_compressed_length(len(data)))
        out = ctypes.create_string_buffer(size.value)
        assert snappy.snappy_compress(data, ctypes.c_size_t(len(data)), out, ctypes.byref(size)) == 0
        return b"\x82SNAPPY\0\0\0\0\1\0\0\0\1" + struct.pack(">i", size.value) + out.raw[:size.value]
    if codec == LZ4:
        bound = lz4.LZ4F_compressFrameBound(len(data), None)
        out = ctypes.create_string_buffer(bound)
        n = lz4.LZ4F_compressFrame(out, bound, data, len(data), None)
        return out.raw[:n]
    if codec == ZSTD:
        bound = zstd.ZSTD_compressBound(len(data))
        out = ctypes.create_string_buffer(bound)
        n = zstd.ZSTD_compress(out, bound, data, len(data), 3)
        return out.raw[:n]
    return data


def unpack_snappy(data):
    if not data.startswith(b"\x82SNAPPY\0"):
        blocks = [data]
    else:
        blocks, at = [], 16
        while at < len(data):
            n = struct.unpack_from(">i", data, at)[0]
            blocks.append(data[at + 4:at + 4 + n])
            at += 4 + n
    whole = b""
    for block in blocks:
        out, size = ctypes.create_string_buffer(MOST), ctypes.c_size_t(MOST)
        assert snappy.snappy_uncompress(block, ctypes.c_size_t(len(block)), out, ctypes.byref(size)) == 0
        whole += out.raw[:size.value]
    return whole


def unpack_lz4(data):
    context = ctypes.c_void_p()
    lz4.LZ4F_createDecompressionContext(ctypes.byref(context), ctypes.c_uint(100))
    whole = b""
    while data:
        out, made, used = ctypes.create_string_buffer(65536), ctypes.c_size_t(65536), ctypes.c_size_t(len(data))
        rc = lz4.LZ4F_decompress(context, out, ctypes.byref(made), data, ctypes.byref(used), None)
        assert not lz4.LZ4F_isError(ctypes.c_size_t(rc))
        whole += out.raw[:made.value]
        data = data[used.value:]
    lz4.LZ4F_freeDecompressionContext(context)
    return whole


def unpack(codec, data):
    if codec == GZIP:
        return zlib.decompress(data, 31)
    if codec == SNAPPY:
        return unpack_snappy(data)
    if codec == LZ4:
        return unpack_lz4(data)
    if codec == ZSTD:
        out = ctypes.create_string_buffer(MOST)
        n = zstd.ZSTD_decompress(out, MOST, data, len(data))
        assert n <= MOST
        return out.raw[:n]
    return data


def varint(n):
    n = (n << 1) ^ (n >> 63)
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def blob(data):
    return varint(-1) if data is None else varint(len(data)) + data


class Record:
    def __init__(self, key=None, value=b"v", time=0, headers=(), offset=None, junk=b""):
        self.key, self.value, self.time, self.headers = key, value, time, headers
        self.offset, self.junk = offset, junk


def record_bytes(r, index, base_time):
    body = b"\0" + varint(r.time - base_time) + varint(index if r.offset is None else r.offset) + blob(r.key) + \
        blob(r.value) + varint(len(r.headers)) + b"".join(blob(k) + blob(v) for k, v in r.headers) + r.junk
    return varint(len(body)) + body


def batch(records, codec=NONE, producer=(-1, -1, -1), base_offset=0, magic=2, attributes=0, epoch=-1, **wrong):
    """`wrong` overrides what a batch says of itself: count, last_delta, max_time, base_time, length, crc, payload."""
    base_time = wrong.get("base_time", records[0].time if records else 0)
    payload = wrong.get("payload", b"".join(record_bytes(r, i, base_time) for i, r in enumerate(records)))
    payload = pack(codec, payload) if not wrong.get("packed") else payload
    most = max((r.time for r in records), default=-1)
    tail = struct.pack(">hiqqqhii", attributes | codec, wrong.get("last_delta", len(records) - 1), base_time,
                       wrong.get("max_time", most), *producer, wrong.get("count", len(records))) + payload
    crc = wrong.get("crc", crc32c(tail))
    return struct.pack(">qiibI", base_offset, wrong.get("length", len(tail) + 9), epoch, magic, crc) + tail


def read(data):
    """All whole batches as dictionaries; what is cut off at the end is left out."""
    out, at = [], 0
    while len(data) - at >= 61:
        base, length, epoch, magic, crc = struct.unpack_from(">qiibI", data, at)
        if at + 12 + length > len(data):
            break
        tail = data[at + 21:at + 12 + length]
        attributes, last, base_time, most, pid, pepoch, sequence, count = struct.unpack_from(">hiqqqhii", tail)
        b = {"base_offset": base, "leader_epoch": epoch, "magic": magic, "crc_good": crc == crc32c(tail),
             "attributes": attributes, "last_delta": last, "max_timestamp": most,
             "producer_id": pid, "producer_epoch": pepoch, "base_sequence": sequence, "count": count,
             "records": read_payload(attributes & 7, tail[40:], count, base, base_time, most if attributes & 8 else None)}
        out.append(b)
        at += 12 + length
    return out


def read_payload(codec, data, *head):
    try:
        return read_records(unpack(codec, data), *head)
    except (AssertionError, Malformed, zlib.error, struct.error) as e:
        return f"unreadable: {e}"


def read_records(payload, count, base, base_time, append_time):
    """As consumers see them: absolute offsets and times."""
    r = Reader(payload)

    def signed():
        n = r.uvarint()
        return n >> 1 ^ -(n & 1)

    def bytes_():
        n = signed()
        return None if n < 0 else bytes(r.take(n))

    out = []
    for _ in range(count):
        signed()
        r.take(1)
        time = base_time + signed()
        out.append({"timestamp": append_time or time, "offset": base + signed(), "key": bytes_(), "value": bytes_(),
                    "headers": [(bytes_(), bytes_()) for _ in range(signed())]})
    return out
