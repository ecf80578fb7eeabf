"""pyrender's renderer with a short way through a frame: meshes stay on the card, only what moved is sent, and nothing
is read back that nobody asked for.

pyrender draws any scene; it therefore makes every buffer anew when a mesh changes, looks every uniform up by name in
every frame, and reads depths back. Made for the head's scene: one primitive a mesh, at the origin, opaque,
metallic-roughness materials, directional lights. It knows no head and no curves. `painter_class()` imports pyrender at
the moment of use.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from facerig.mesh import Floats
from facerig.preview.shading import VERTEX, fragment

UNIFORMS = ("to_screen", "eye", "ambient", "to_light", "radiance", "colour", "roughness", "textured",
            "occluded", "picture")


@lru_cache(maxsize=1)
def painter_class() -> type[Any]:
    """The class, made when pyrender is there."""
    import pyrender.renderer as base
    from OpenGL import GL
    from OpenGL.GL import shaders

    class Painter(base.Renderer):  # type: ignore[misc, unused-ignore]
        """Overrides the two passes that a picture consists of."""

        def __init__(self, width: int, height: int) -> None:
            super().__init__(width, height)
            self._program: int | None = None
            self._places: dict[str, int] = {}

        def delete(self) -> None:
            if self._program is not None:
                GL.glDeleteProgram(self._program)
                self._program = None
            super().delete()

        def update(self, primitive: Any, vertices: Floats) -> None:
            """Send the interleaved vertices [V, 8] of a primitive that has been drawn before."""
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, primitive._buffers[0])
            GL.glBufferSubData(GL.GL_ARRAY_BUFFER, 0, vertices.nbytes, vertices)

        def _forward_pass(self, scene: Any, flags: int, seg_node_map: Any = None) -> Any:
            self._configure_forward_pass_viewport(flags)
            GL.glClearColor(*scene.bg_color)
            GL.glClear(GL.GL_COLOR_BUFFER_BIT | GL.GL_DEPTH_BUFFER_BIT)
            GL.glEnable(GL.GL_MULTISAMPLE)
            GL.glDisable(GL.GL_BLEND)
            lines = bool(flags & base.RenderFlags.ALL_WIREFRAME)
            GL.glPolygonMode(GL.GL_FRONT_AND_BACK, GL.GL_LINE if lines else GL.GL_FILL)
            self._use_program(scene)
            for node in scene.mesh_nodes:
                for primitive in node.mesh.primitives:
                    _draw(GL, self._places, primitive)
            GL.glBindVertexArray(0)
            GL.glUseProgram(0)
            GL.glFlush()
            return self._read_main_framebuffer(scene, flags)

        def _use_program(self, scene: Any) -> None:
            if self._program is None:
                self._program, self._places = _compiled(GL, shaders, len(scene.directional_light_nodes))
            GL.glUseProgram(self._program)
            view, projection = self._get_camera_matrices(scene)
            _light(GL, self._places, scene, projection @ view)

        def _read_main_framebuffer(self, scene: Any, flags: int) -> Any:
            """Colours alone; pyrender would turn the depths into a picture as well."""
            width, height = self._main_fb_dims
            GL.glBindFramebuffer(GL.GL_READ_FRAMEBUFFER, self._main_fb_ms)
            GL.glBindFramebuffer(GL.GL_DRAW_FRAMEBUFFER, self._main_fb)
            GL.glBlitFramebuffer(0, 0, width, height, 0, 0, width, height, GL.GL_COLOR_BUFFER_BIT, GL.GL_NEAREST)
            GL.glBindFramebuffer(GL.GL_READ_FRAMEBUFFER, self._main_fb)
            GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 1)
            data = GL.glReadPixels(0, 0, width, height, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE)
            rows = np.frombuffer(data, np.uint8).reshape(height, width, 4)
            return np.ascontiguousarray(rows[::-1, :, :3]), None

    return Painter


def _light(gl: Any, at: dict[str, int], scene: Any, to_screen: Floats) -> None:
    """What all meshes of a picture share: the camera and the lights."""
    lights = scene.directional_light_nodes
    toward = np.array([scene.get_pose(node)[:3, 2] for node in lights], np.float32)
    radiance = np.array([node.light.color * node.light.intensity for node in lights], np.float32)
    gl.glUniformMatrix4fv(at["to_screen"], 1, gl.GL_TRUE, to_screen.astype(np.float32))
    gl.glUniform3fv(at["eye"], 1, scene.get_pose(scene.main_camera_node)[:3, 3].astype(np.float32))
    gl.glUniform3fv(at["ambient"], 1, np.asarray(scene.ambient_light, np.float32)[:3])
    gl.glUniform3fv(at["to_light"], len(lights), toward)
    gl.glUniform3fv(at["radiance"], len(lights), radiance)
    gl.glUniform1i(at["picture"], 0)


def _draw(gl: Any, at: dict[str, int], primitive: Any) -> None:
    """One mesh with its material."""
    material = primitive.material
    texture = material.baseColorTexture
    gl.glUniform3fv(at["colour"], 1, np.asarray(material.baseColorFactor[:3], np.float32))
    gl.glUniform1f(at["roughness"], float(material.roughnessFactor))
    gl.glUniform1f(at["textured"], 0.0 if texture is None else 1.0)
    gl.glUniform1f(at["occluded"], 0.0 if material.occlusionTexture is None else 1.0)
    if texture is not None:
        gl.glActiveTexture(gl.GL_TEXTURE0)
        texture._bind()
    (gl.glDisable if material.doubleSided else gl.glEnable)(gl.GL_CULL_FACE)
    gl.glBindVertexArray(primitive._vaid)
    gl.glDrawElements(gl.GL_TRIANGLES, primitive.indices.size, gl.GL_UNSIGNED_INT, None)


def _compiled(gl: Any, shaders: Any, lights: int) -> tuple[int, dict[str, int]]:
    """The program, and where its uniforms are."""
    stages = (shaders.compileShader(VERTEX, gl.GL_VERTEX_SHADER),
              shaders.compileShader(fragment(lights), gl.GL_FRAGMENT_SHADER))
    spare = gl.glGenVertexArrays(1)  # a program is checked against the vertex array that is bound
    gl.glBindVertexArray(spare)
    program = shaders.compileProgram(*stages)
    gl.glBindVertexArray(0)
    gl.glDeleteVertexArrays(1, [spare])
    return program, {name: gl.glGetUniformLocation(program, name) for name in UNIFORMS}
