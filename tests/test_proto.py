"""The wire formats themselves: field numbers do not move, foreign packages stay apart, the prose names every
message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from facerig import protos as pools
from facerig.errors import ServiceError
from facerig.server import protos
from facerig.v1 import animation_pb2 as pb

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "proto" / "facerig" / "v1" / "fields.lock"
TYPES = descriptor_pb2.FieldDescriptorProto.Type


def lines():
    """`Message.field = number type label` for all there is; enum values and methods too."""
    found = []

    def walk(message, prefix):
        name = f"{prefix}{message.name}"
        for field in message.fields:
            kind = field.message_type.full_name if field.message_type else TYPES.Name(field.type)
            found.append(f"{name}.{field.name} = {field.number} {kind}{' repeated' if field.is_repeated else ''}")
        for enum in message.enum_types:
            found.extend(f"{name}.{enum.name}.{value.name} = {value.number}" for value in enum.values)
        for inner in message.nested_types:
            walk(inner, f"{name}.")

    for message in pb.DESCRIPTOR.message_types_by_name.values():
        walk(message, "")
    for enum in pb.DESCRIPTOR.enum_types_by_name.values():
        found.extend(f"{enum.name}.{value.name} = {value.number}" for value in enum.values)
    for service in pb.DESCRIPTOR.services_by_name.values():
        found.extend(f"{service.name}.{one.name}({one.input_type.full_name}) -> {one.output_type.full_name}"
                     for one in service.methods)
    return sorted(found)


def test_a_checkout_that_was_not_built_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "__file__", str(tmp_path / "protos.py"))
    with pytest.raises(ServiceError, match=r"descriptors\.binpb: .* is missing; .* in a checkout.*: pip install -e \."):
        pools.pool.__wrapped__()


def test_nothing_that_was_published_has_changed():
    """New lines may be added to the lock; a line that is in it must hold for ever (what `buf breaking` checks too)."""
    gone = sorted(set(LOCK.read_text("utf-8").splitlines()) - set(lines()))
    assert not gone, f"a client that was built yesterday would misread these: {gone}"


def test_the_lock_holds_all_there_is():
    assert LOCK.read_text("utf-8").splitlines() == lines(), "run: python tests/test_proto.py"


def test_the_lock_would_notice_a_moved_number():
    moved = [line.replace("AudioChunk.data = 1", "AudioChunk.data = 2") for line in lines()]
    assert set(LOCK.read_text("utf-8").splitlines()) - set(moved)


# message, its fields in order of number; from NVIDIA's published tables
NVIDIA = [
    ("controller.v1.AudioStream", "audio_stream_header audio_with_emotion end_of_audio"),
    (
        "controller.v1.AudioStreamHeader",
        "audio_header face_params emotion_post_processing_params blendshape_params emotion_params",
    ),
    ("audio.v1.AudioHeader", "audio_format channel_count samples_per_second bits_per_sample"),
    ("a2f.v1.AudioWithEmotion", "audio_buffer emotions"),
    ("a2f.v1.FaceParameters", "float_params integer_params float_array_params"),
    ("a2f.v1.BlendShapeParameters", "bs_weight_multipliers bs_weight_offsets enable_clamping_bs_weight"),
    ("a2f.v1.EmotionParameters", "live_transition_time beginning_emotion"),
    (
        "a2f.v1.EmotionPostProcessingParameters",
        "emotion_contrast live_blend_coef enable_preferred_emotion "
        "preferred_emotion_strength emotion_strength max_emotions",
    ),
    ("controller.v1.AnimationDataStream", "animation_data_stream_header animation_data event status"),
    (
        "controller.v1.AnimationDataStreamHeader",
        "audio_header skel_animation_header start_time_code_since_epoch metadata",
    ),
    (
        "animation_data.v1.AnimationDataStreamHeader",
        "animation_ids source_service_id audio_header skel_animation_header start_time_code_since_epoch metadata",
    ),
    ("animation_data.v1.AnimationData", "skel_animation audio camera metadata"),
    ("animation_data.v1.SkelAnimation", "blend_shape_weights translations rotations scales"),
    ("animation_data.v1.FloatArrayWithTimeCode", "time_code values"),
    ("emotion_with_timecode.v1.EmotionWithTimeCode", "time_code emotion"),
    ("emotion_aggregate.v1.EmotionAggregate", "input_emotions a2e_output a2f_smoothed_output"),
    ("status.v1.Status", "code message"),
    (
        "a2f_authoring.v1.FacePoseRequest",
        "audio_hash preferred_emotions time_stamp face_params emotion_pp_params blendshape_params",
    ),
    ("a2f_authoring.v1.BlendShapeData", "blendshapes time_code emotions"),
]


@pytest.mark.parametrize(("name", "fields"), NVIDIA)
def test_nvidias_field_numbers(name, fields):
    found = protos.message(f"nvidia_ace.{name}").DESCRIPTOR.fields
    assert [field.name for field in sorted(found, key=lambda field: field.number)] == fields.split()
    assert [field.number for field in sorted(found, key=lambda field: field.number)] == [*range(1, len(found) + 1)]


def test_another_copy_of_nvidias_messages_may_live_in_the_process():
    """NVIDIA's wheel registers the same names in protobuf's default pool; ours must not meet them."""
    script = """
from google.protobuf import descriptor_pb2, descriptor_pool
other = descriptor_pb2.FileDescriptorProto(name="nvidia_ace.audio.v1.proto", package="nvidia_ace.audio.v1")
other.message_type.add(name="AudioHeader")
health = descriptor_pb2.FileDescriptorProto(name="nvidia_ace.health.proto", package="grpc.health.v1")
health.message_type.add(name="HealthCheckRequest")
for file in (other, health):
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
from facerig.server import app, protos
assert protos.message("nvidia_ace.audio.v1.AudioHeader")(channel_count=1).channel_count == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_no_module_of_ours_takes_nvidias_name():
    assert not (ROOT / "nvidia_ace").exists()
    assert not list((ROOT / "facerig").rglob("nvidia_ace*"))


def test_the_prose_names_every_part():
    prose = (ROOT / "docs" / "PROTOCOL.md").read_text("utf-8")
    for oneof in (pb.AnimateRequest, pb.AnimateResponse, pb.Control):
        for field in oneof.DESCRIPTOR.oneofs[0].fields:
            assert f"`{field.name}`" in prose, field.name


if __name__ == "__main__":
    LOCK.write_text("\n".join(lines()) + "\n", "utf-8")
