// The same library from C++: a game loop that speaks, is interrupted, and speaks again. Prints what happened.
//
//   facerig_example_cpp SERVERS
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "facerig_client.h"

struct Closer {
  void operator()(facerig_stream *stream) const { facerig_close(stream); }
};
using Stream = std::unique_ptr<facerig_stream, Closer>;

// A tenth of a second of something like a vowel.
static std::vector<float> sound(int part) {
  std::vector<float> samples(2400);
  for (size_t k = 0; k < samples.size(); ++k) {
    const double time = part * 0.1 + k / 24000.0;
    samples[k] = static_cast<float>(0.3 * std::sin(time * 900) * std::fabs(std::sin(time * 12)));
  }
  return samples;
}

int main(int count, char **arguments) {
  facerig_options options;
  facerig_options_init(&options);
  if (count > 1) options.servers = arguments[1];
  options.encoding = FACERIG_FLOAT32;
  options.pacing = FACERIG_BURST;
  char error[256];
  Stream stream(facerig_open(&options, error, sizeof error));
  if (!stream) return std::fprintf(stderr, "facerig: %s\n", error), 2;

  std::vector<float> values(1024);
  facerig_event event;
  unsigned long long frames = 0, interrupts = 0, markers = 0, last = 0;
  size_t jaw = 0;
  std::vector<float> opened;  // the jaw of each frame
  facerig_result result = FACERIG_NOTHING;
  for (int tick = 0; tick < 6000; ++tick) {  // a game's frames: nothing here waits
    if (tick < 30) {
      const auto samples = sound(tick);
      facerig_send(stream.get(), samples.data(), samples.size() * sizeof(float));
    }
    if (tick == 5) facerig_set_state(stream.get(), FACERIG_IDLE);  // the interrupt hands the state back to the voice
    if (tick == 10) facerig_emotion(stream.get(), "joy", 0.8f, 200);
    if (tick == 15) facerig_interrupt(stream.get(), 100);
    if (tick == 25) facerig_mark(stream.get(), "late");
    if (tick == 30) facerig_end(stream.get());
    while ((result = facerig_next(stream.get(), &event, values.data(), values.size(), 0)) == FACERIG_OK) {
      frames += event.kind == FACERIG_FRAME;
      interrupts += event.kind == FACERIG_INTERRUPTED;
      markers += event.kind == FACERIG_MARKER;
      if (event.kind == FACERIG_FRAME) {
        if (event.index != last) return std::fprintf(stderr, "frame %llu is missing\n", last), 1;
        last = event.index + 1;
        while (jaw < event.count && std::strcmp(facerig_channel_name(stream.get(), jaw), "jawOpen") != 0) ++jaw;
        opened.push_back(jaw < event.count ? values[jaw] : 0.0f);
      }
    }
    if (result != FACERIG_NOTHING) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(16));
  }
  facerig_error(stream.get(), error, sizeof error);
  const size_t late = std::min<size_t>(opened.size(), 30);
  const float jaw_at_end = late ? *std::max_element(opened.end() - static_cast<std::ptrdiff_t>(late), opened.end()) : 0;
  std::printf("{\"frames\": %llu, \"interrupts\": %llu, \"markers\": %llu, \"done\": %s, \"error\": \"%s\", "
              "\"reconnects\": %u, \"jaw_at_end\": %.4f}\n",
              frames, interrupts, markers, result == FACERIG_DONE ? "true" : "false", error,
              facerig_reconnects(stream.get()), static_cast<double>(jaw_at_end));
  return result == FACERIG_DONE ? 0 : 1;
}
