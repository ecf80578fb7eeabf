// usage: NODE_DIR=<folder holding node_modules> node export_three.mjs file.(fbx|glb) rate frames first
// Prints one JSON object: the morph weights and joint turns that three.js plays at every frame.
import fs from 'fs';
import path from 'path';
import { pathToFileURL } from 'url';

const three = path.join(process.env.NODE_DIR, 'node_modules/three');
const open = file => import(pathToFileURL(path.join(three, file)));
globalThis.self = globalThis;
globalThis.window = globalThis;
globalThis.document = {
  createElementNS: () => ({ addEventListener() {}, removeEventListener() {}, style: {} }),
  createElement: () => ({ style: {}, getContext() { return null; } }),
};
globalThis.ProgressEvent ??= class {};

const T = await open('build/three.module.js');
const [file, rate, frames, first] = process.argv.slice(2);
const bytes = fs.readFileSync(file);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
let root, clips;
if (file.endsWith('.fbx')) {
  const { FBXLoader } = await open('examples/jsm/loaders/FBXLoader.js');
  root = new FBXLoader().parse(buffer, path.dirname(file) + '/');
  clips = root.animations;
} else {
  const { GLTFLoader } = await open('examples/jsm/loaders/GLTFLoader.js');
  const loaded = await new GLTFLoader().parseAsync(file.endsWith('.gltf') ? bytes.toString() : buffer, '');
  root = loaded.scene;
  clips = loaded.animations;
}

const mixer = new T.AnimationMixer(root);
for (const clip of clips) {
  const action = mixer.clipAction(clip);
  action.setLoop(T.LoopOnce);
  action.clampWhenFinished = true;
  action.play();
}
const out = { clips: clips.map(c => c.name), meshes: {}, bones: {}, deltas: {} };
for (let frame = 0; frame < +frames; frame++) {
  mixer.setTime((+first + frame) / +rate);
  root.traverse(o => {
    if (o.morphTargetDictionary) {
      const mesh = (out.meshes[o.name] ??= {});
      for (const [name, at] of Object.entries(o.morphTargetDictionary)) (mesh[name] ??= []).push(o.morphTargetInfluences[at]);
    }
    if (o.isBone) (out.bones[o.name] ??= []).push(o.quaternion.toArray());
  });
}
root.traverse(o => {
  if (!o.morphTargetDictionary) return;
  const mesh = (out.deltas[o.name] = {});
  for (const [name, at] of Object.entries(o.morphTargetDictionary)) {
    const a = o.geometry.morphAttributes.position[at];
    let largest = 0;
    for (let v = 0; v < a.count; v++) for (const x of [a.getX(v), a.getY(v), a.getZ(v)]) largest = Math.max(largest, Math.abs(x));
    mesh[name] = largest;
  }
});
console.log(JSON.stringify(out));
