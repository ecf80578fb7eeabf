"""The rule teacher: what a face does while it says given phones, calibrated on measured motion.

    from facerig.train.teacher import teach
    curves = teach(timed, frames, energy_db, pitch_hz)    # float32 [frames, 68] at 60 fps

The rules themselves are `facerig.transcript.articulation`, since animation without audio uses them too; here lie their
calibration and their comparison with real faces.
"""

from facerig.transcript.articulation import Style, expected, teach

__all__ = ["Style", "expected", "teach"]
