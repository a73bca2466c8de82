"""Messages that are hostile as a whole: other formats, absurd numbers."""

import io

import fastavro

from schemas.errors import Reason
from schemas.records import wire_header
from tests.schema_versions import VERSIONS, encode_version
from tests.unit.test_codec import BATCH, POINT, decode


def test_a_container_file_is_no_message_with_or_without_a_wire_header():
    # A container of 300 kB may unpack to 300 MB: none is ever opened.
    out = io.BytesIO()
    fastavro.writer(out, VERSIONS[1], [BATCH], codec="deflate")
    block = decode([out.getvalue(), wire_header(1) + out.getvalue(), encode_version(1, BATCH)])
    assert [m.reason for m in block.rejected] == [Reason.BAD_MAGIC, Reason.AVRO_INVALID]
    assert block.messages["row"].to_list() == [2]


def test_a_time_beyond_every_calendar_is_a_number_like_others():
    # 2^61 ms overflows a datetime; here it is judged with the clock rules, not by a crash.
    far = BATCH | {"sent_at": 2**61, "points": [POINT | {"timestamp": -(2**63)}]}
    block = decode([encode_version(1, far)])
    assert block.messages["sent_at"].to_list() == [2**61]
    assert block.items["timestamp"].to_list() == [-(2**63)]
