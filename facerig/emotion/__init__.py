"""What a face shall feel: the space of emotions, styles, their course over time, and their code for the model.

    from facerig.controls import Controls
    from facerig.emotion.space import mixture
    controls = Controls()
    controls.replace(0, "emotion", {f"emotion:{k}": v for k, v in mixture("happy:0.7,surprise:0.2").items()})

Knows no audio and no wire; what an emotion looks like lies in the model's weights (and, for its teacher, in
`assets/expression`).
"""
