"""Pictures of curves: a head rendered to images and video, and plots. Imports the renderer at the moment of use."""
