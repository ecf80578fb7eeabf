// What tests ask of the library over a server: interrupts at awkward times, little audio ahead. Prints what happened,
// as JSON.
//
//   facerig_trials again|end|far|little SERVERS
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "facerig_client.h"

struct Closer {
  void operator()(facerig_stream *stream) const { facerig_close(stream); }
};
using Stream = std::unique_ptr<facerig_stream, Closer>;

static facerig_result speak(facerig_stream *stream, double seconds) {
  std::vector<int16_t> samples(static_cast<size_t>(seconds * 24000));
  for (size_t k = 0; k < samples.size(); ++k)
    samples[k] = static_cast<int16_t>(8000 * std::sin(k * 0.05) * std::fabs(std::sin(k * 0.0008)));
  return facerig_send(stream, samples.data(), samples.size() * 2);
}

struct Heard {
  unsigned frames = 0, interrupts = 0;
  unsigned long long resumed_at = 0;
  facerig_result result = FACERIG_NOTHING;
};

// Events until one of `kind` has come, or the end.
static void hear(facerig_stream *stream, Heard *heard, facerig_kind kind, unsigned count = 1) {
  facerig_event event;
  while (count && (heard->result = facerig_next(stream, &event, nullptr, 0, 40000)) == FACERIG_OK) {
    heard->frames += event.kind == FACERIG_FRAME;
    heard->interrupts += event.kind == FACERIG_INTERRUPTED;
    if (event.kind == FACERIG_INTERRUPTED) heard->resumed_at = event.index;
    count -= event.kind == kind;
  }
}

// A game that interrupts again as soon as it hears that the last interrupt has taken effect.
static void again(facerig_stream *stream, Heard *heard) {
  speak(stream, 0.5);
  facerig_interrupt(stream, 50);
  for (int k = 0; k < 100 && heard->result <= FACERIG_NOTHING; ++k) {
    hear(stream, heard, FACERIG_INTERRUPTED);
    speak(stream, 0.1);
    if (k < 99) facerig_interrupt(stream, 50);
  }
  facerig_end(stream);
  hear(stream, heard, FACERIG_FRAME, ~0u);
}

// The whole line has been given and is on its way; then the player cuts in.
static void end(facerig_stream *stream, Heard *heard) {
  speak(stream, 1.4);
  facerig_end(stream);
  hear(stream, heard, FACERIG_FRAME, 30);
  std::printf("{\"send\": %d, \"control\": %d, \"look\": %d, ", speak(stream, 0.1),
              facerig_emotion(stream, "joy", 1, 100), facerig_look_release(stream, 100));
  std::printf("\"interrupt\": %d, ", facerig_interrupt(stream, 100));
  hear(stream, heard, FACERIG_FRAME, ~0u);
  std::printf("\"late\": %d, \"late_control\": %d, ", facerig_interrupt(stream, 100),
              facerig_look_release(stream, 100));
}

// Twenty seconds and their end are given at once, and dropped after half a second.
static void far(facerig_stream *stream, Heard *heard) {
  speak(stream, 20);
  facerig_end(stream);
  hear(stream, heard, FACERIG_FRAME, 30);
  facerig_interrupt(stream, 100);
  hear(stream, heard, FACERIG_FRAME, ~0u);
}

// A voice longer than what a server looks back on, in pieces, with no more than a second of it ahead of the frames.
static void little(facerig_stream *stream, Heard *heard) {
  unsigned pieces = 0;
  bool moves = true;
  while (pieces < 80 && moves) {
    const facerig_result taken = speak(stream, 0.1);
    const unsigned before = heard->frames;
    pieces += taken == FACERIG_OK;
    if (taken == FACERIG_FULL) hear(stream, heard, FACERIG_FRAME);
    moves = taken == FACERIG_OK || heard->frames > before;
  }
  std::printf("\"pieces\": %u, ", pieces);
  if (!moves) return;
  facerig_end(stream);
  hear(stream, heard, FACERIG_FRAME, ~0u);
}

int main(int count, char **arguments) {
  if (count < 3) return 2;
  const std::string mode = arguments[1];
  facerig_options options;
  facerig_options_init(&options);
  options.servers = arguments[2];
  options.pacing = mode == "little" ? FACERIG_BURST : FACERIG_REALTIME;
  if (mode == "little") options.ahead_seconds = 1;
  char error[256];
  Stream stream(facerig_open(&options, error, sizeof error));
  if (!stream) return std::fprintf(stderr, "facerig: %s\n", error), 2;
  Heard heard;
  if (mode == "end")
    end(stream.get(), &heard);
  else
    std::printf("{"), (mode == "far" ? far : mode == "little" ? little : again)(stream.get(), &heard);
  facerig_error(stream.get(), error, sizeof error);
  std::printf("\"frames\": %u, \"interrupts\": %u, \"resumed_at\": %llu, \"done\": %s, \"error\": \"%s\"}\n",
              heard.frames, heard.interrupts, heard.resumed_at, heard.result == FACERIG_DONE ? "true" : "false", error);
}
