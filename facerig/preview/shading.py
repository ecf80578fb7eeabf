"""The two shader programs of the pictures, as GLSL text. Knows no head; what it is given stands in its uniforms.

The surface model is pyrender's (Lambert + Cook-Torrance with Smith's and Schlick's terms, glTF's dielectric 0.04), for
what a head needs of it: nothing metallic, a few directional lights, normals ready-made. Without a graphics card every
operation of a pixel counts: half of the time of a picture went into terms that were always the same. Unlike
pyrender's, a picture that is also the material's occlusion (the mouth's shade) dims colour once, and the gloss as well.
"""

from __future__ import annotations

VERTEX = """#version 330 core
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec2 texcoord;
uniform mat4 to_screen;
out vec3 place;
out vec3 upright;
out vec2 uv;
void main() {
    gl_Position = to_screen * vec4(position, 1.0);
    place = position;
    upright = normal;
    uv = texcoord;
}
"""

FRAGMENT = """#version 330 core
#define LIGHTS %(lights)d
in vec3 place;
in vec3 upright;
in vec2 uv;
uniform vec3 eye;
uniform vec3 ambient;
uniform vec3 to_light[LIGHTS];
uniform vec3 radiance[LIGHTS];
uniform vec3 colour;
uniform float roughness;
uniform float textured;
uniform float occluded;
uniform sampler2D picture;
out vec4 shown;

// sRGB to linear, a cubic that stays within 0.002 of the exact curve
vec3 linear(vec3 c) { return c * (c * (c * 0.305306011 + 0.682171111) + 0.012522878); }

void main() {
    vec3 base = colour;
    float open = 1.0;
    if (textured > 0.5) {
        vec3 painted = linear(texture(picture, uv).rgb);
        base *= painted;
        open = mix(1.0, painted.r, occluded);
    }
    vec3 n = normalize(upright);
    vec3 v = normalize(eye - place);
    float nv = clamp(abs(dot(n, v)), 0.001, 1.0);
    float a2 = roughness * roughness * roughness * roughness;
    float k = (roughness + 1.0) * (roughness + 1.0) * 0.125;
    float smith_v = nv / (nv * (1.0 - k) + k);
    vec3 diffuse = base * (0.96 / 3.14159265);
    vec3 sum = base * ambient;
    for (int i = 0; i < LIGHTS; i++) {
        vec3 h = normalize(to_light[i] + v);
        float nl = clamp(dot(n, to_light[i]), 0.001, 1.0);
        float nh = clamp(dot(n, h), 0.0, 1.0);
        float away = 1.0 - clamp(dot(v, h), 0.0, 1.0);
        float fresnel = 0.04 + 0.96 * (away * away) * (away * away) * away;
        float spread = nh * nh * (a2 - 1.0) + 1.0;
        float gloss = smith_v * nl / (nl * (1.0 - k) + k) * a2 / (3.14159265 * spread * spread);
        sum += nl * radiance[i] * ((1.0 - fresnel) * diffuse + open * fresnel * gloss / (4.0 * nl * nv + 0.001));
    }
    shown = vec4(pow(clamp(sum, 0.0, 1.0), vec3(1.0 / 2.2)), 1.0);
}
"""


def fragment(lights: int) -> str:
    """The fragment shader for this many directional lights."""
    return FRAGMENT % {"lights": lights}
