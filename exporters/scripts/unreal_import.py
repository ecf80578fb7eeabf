"""Runs inside Unreal Editor (Python Editor Script Plugin): a folder of facerig's files into animation assets.

    import unreal_import
    unreal_import.import_folder("C:/takes", "/Game/Takes", "/Game/MetaHumans/Common/Face/Face_Archetype_Skeleton")

- every .fbx becomes an AnimSequence on the skeleton (curves of the bone `root`: `facerig export --format curves.fbx
  --rig metahuman`), with custom attributes imported as curves;
- every facerig .json becomes an AnimSequence whose float curves are written key by key (no importer in between);
- every Live Link Face .csv goes through the Live Link Face Importer plug-in, which makes a Level Sequence of it;
- `level_sequence` puts an AnimSequence onto an actor's face in a new Level Sequence.

Never run in a running Unreal: written from its Python API documentation (5.4 to 5.6); what it does outside of Unreal's
calls is tested.
"""

from __future__ import annotations

import json
import os


def import_folder(folder, destination, skeleton_path):
    """Import all that is there. Returns {file: asset path or the reason why not}."""
    done, taken = {}, {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        kind = os.path.splitext(name)[1].lower()
        if kind not in (".fbx", ".json", ".csv") or (kind == ".json" and name.startswith("report")):
            continue
        try:
            check_name(name, taken)
            if kind == ".fbx":
                done[name] = import_fbx(path, destination, skeleton_path)
            elif kind == ".json":
                done[name] = import_json(path, destination, skeleton_path)
            else:
                done[name] = import_live_link(path, destination)
        except Exception as error:  # one bad file must not stop the rest
            done[name] = f"failed: {error}"
    return done


def asset_name(path):
    """Letters, digits and underscores of a file name, without .fbx or .curves.fbx."""
    stem = os.path.splitext(os.path.basename(path))[0]
    if stem.lower().endswith(".curves") and len(stem) > len(".curves"):
        stem = stem[: -len(".curves")]
    return "".join(letter if letter.isalnum() else "_" for letter in stem)


def check_name(name, taken):
    """Unreal would put the second of two assets of one name (letter case aside) in the place of the first."""
    asset = asset_name(name).lower()
    if asset in taken:
        raise RuntimeError(f"{taken[asset]} gives the asset {asset_name(name)} already; rename one of the two files")
    taken[asset] = name


def load(path, kind):
    import unreal

    asset = unreal.EditorAssetLibrary.load_asset(path)
    if asset is None:
        raise RuntimeError(f"no {kind} at {path}")
    return asset


def run_task(path, destination, name, options=None, factory=None):
    """One automated import; returns the path of the first asset."""
    import unreal

    task = unreal.AssetImportTask()
    settings = {"filename": path, "destination_path": destination, "destination_name": name, "automated": True,
                "replace_existing": True, "save": True}
    for key, value in settings.items():
        task.set_editor_property(key, value)
    if options is not None:
        task.set_editor_property("options", options)
    if factory is not None:
        task.set_editor_property("factory", factory)
    unreal.AssetToolsHelpers.get_asset_tools().import_asset_tasks([task])
    imported = list(task.get_editor_property("imported_object_paths"))
    if not imported:
        raise RuntimeError("nothing was imported; the Output Log says why")
    return imported[0]


def import_fbx(path, destination, skeleton_path):
    import unreal

    options = unreal.FbxImportUI()
    for key, value in {"import_mesh": False, "import_animations": True, "import_materials": False,
                       "import_textures": False, "automated_import_should_detect_type": False,
                       "mesh_type_to_import": unreal.FBXImportType.FBXIT_ANIMATION,
                       "skeleton": load(skeleton_path, "skeleton")}.items():
        options.set_editor_property(key, value)
    data = options.get_editor_property("anim_sequence_import_data")
    for key, value in {"import_custom_attribute": True, "do_not_import_curve_with_zero": False,
                       "remove_redundant_keys": False, "import_bone_tracks": False,
                       "animation_length": unreal.FBXAnimationLengthImportType.FBXALIT_EXPORTED_TIME}.items():
        data.set_editor_property(key, value)
    return run_task(path, destination, asset_name(path), options)


def import_live_link(path, destination):
    """<Slate>_<Take>_<Subject>_cal.csv: the plug-in takes the subject from the name."""
    import unreal

    if not hasattr(unreal, "LiveLinkFaceImporterFactory"):
        raise RuntimeError("enable the plug-in Live Link Face Importer")
    return run_task(path, destination, asset_name(path), factory=unreal.LiveLinkFaceImporterFactory())


def import_json(path, destination, skeleton_path):
    """An AnimSequence with a float curve a channel."""
    import unreal

    with open(path, encoding="utf-8") as stream:
        document = json.load(stream)
    names, fps, values = document["channels"], document["fps"], document["values"]
    factory = unreal.AnimSequenceFactory()
    factory.set_editor_property("target_skeleton", load(skeleton_path, "skeleton"))
    tools = unreal.AssetToolsHelpers.get_asset_tools()
    sequence = tools.create_asset(asset_name(path), destination, unreal.AnimSequence, factory)
    if sequence is None:
        raise RuntimeError("the asset could not be created; is there one of that name?")
    controller = sequence.controller
    controller.set_frame_rate(unreal.FrameRate(fps, 1))
    controller.set_number_of_frames(unreal.FrameNumber(max(len(values) - 1, 1)))
    times = [frame / fps for frame in range(len(values))]
    for column, name in enumerate(names):
        unreal.AnimationLibrary.add_curve(sequence, name, unreal.RawCurveTrackTypes.RCT_FLOAT, False)
        unreal.AnimationLibrary.add_float_curve_keys(sequence, name, times, [row[column] for row in values])
    unreal.EditorAssetLibrary.save_loaded_asset(sequence)
    return sequence.get_path_name()


def level_sequence(name, destination, animation_path, actor, fps=60):
    """A new Level Sequence in which the actor's face plays an animation."""
    import unreal

    tools = unreal.AssetToolsHelpers.get_asset_tools()
    sequence = tools.create_asset(name, destination, unreal.LevelSequence, unreal.LevelSequenceFactoryNew())
    animation = load(animation_path, "animation")
    sequence.set_display_rate(unreal.FrameRate(fps, 1))
    frames = max(1, round(animation.get_play_length() * fps))
    sequence.set_playback_start(0)
    sequence.set_playback_end(frames)
    face = next((part for part in actor.get_components_by_class(unreal.SkeletalMeshComponent)
                 if part.get_name().lower() == "face"), None)
    binding = sequence.add_possessable(face or actor)
    section = binding.add_track(unreal.MovieSceneSkeletalAnimationTrack).add_section()
    section.set_range(0, frames)
    parameters = section.get_editor_property("params")
    parameters.set_editor_property("animation", animation)
    section.set_editor_property("params", parameters)
    unreal.EditorAssetLibrary.save_loaded_asset(sequence)
    return sequence.get_path_name()
