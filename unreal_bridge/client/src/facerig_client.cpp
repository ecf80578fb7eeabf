// The C interface: checks arguments, translates, and lets no exception through.
#include "facerig_client.h"

#include <cstdio>
#include <cstring>
#include <exception>

#include "stream.hpp"

struct facerig_stream {
  explicit facerig_stream(facerig::Wish wish) : inner(std::move(wish)) {}
  facerig::Stream inner;
};

namespace {

using Outcome = facerig::Stream::Outcome;

facerig_result result(Outcome outcome) { return static_cast<facerig_result>(outcome); }

static_assert(static_cast<int>(Outcome::failed) == FACERIG_FAILED && static_cast<int>(Outcome::full) == FACERIG_FULL,
              "outcomes and results are numbered alike");

void copy(const std::string &text, char *out, size_t size) {
  if (out && size) std::snprintf(out, size, "%s", text.c_str());
}

template <typename Body>
facerig_result guarded(facerig_stream *stream, Body body) {
  if (!stream) return FACERIG_INVALID;
  try {
    return body();
  } catch (const std::exception &) {
    return FACERIG_FAILED;
  }
}

facerig_result control(facerig_stream *stream, facerig::v1::Control made) {
  return guarded(stream, [&] { return result(stream->inner.control(std::move(made))); });
}

std::vector<std::string> split(const std::string &text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t stop = std::min(text.find(',', at), text.size());
    std::string part = text.substr(at, stop - at);
    part.erase(0, part.find_first_not_of(' '));
    part.erase(part.find_last_not_of(' ') + 1);
    if (!part.empty()) parts.push_back(part);
    at = stop + 1;
  }
  return parts;
}

std::string text(const char *given) { return given ? given : ""; }

// HOST:PORT: gRPC would take a port modulo 65536, and a bare IPv6 address to its port 443.
bool is_address(const std::string &given) {
  const size_t colon = given.rfind(':');
  if (colon == std::string::npos) return false;
  std::string host = given.substr(0, colon);
  const std::string port = given.substr(colon + 1);
  if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string::npos) return false;
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty() || host.find_first_of(bracketed ? "[]/ \t" : "[]:/ \t") != std::string::npos) return false;
  return std::stoi(port) >= 1 && std::stoi(port) <= 65535;
}

// Empty where all is well, else what is wrong.
std::string wrong(const facerig_options &o, const std::vector<std::string> &servers) {
  if (servers.empty()) return "servers: accepted: \"host:port\", several parted by commas";
  for (const auto &server : servers)
    if (!is_address(server))
      return "servers: got \"" + server + "\", accepted: host:port, 1 to 65535, IPv6 in brackets ([::1]:52100)";
  if (o.rate < 8000 || o.rate > 192000) return "rate: got " + std::to_string(o.rate) + ", accepted: 8000 to 192000";
  if (o.channels < 1 || o.channels > 64) return "channels: got " + std::to_string(o.channels) + ", accepted: 1 to 64";
  if (o.fps < 1 || o.fps > 120) return "fps: got " + std::to_string(o.fps) + ", accepted: 1 to 120";
  if (o.encoding != FACERIG_PCM16 && o.encoding != FACERIG_FLOAT32) return "encoding: accepted: PCM16, FLOAT32";
  if (o.pacing < FACERIG_DEFAULT || o.pacing > FACERIG_LEAD) return "pacing: accepted: DEFAULT to LEAD";
  if (!(o.retry_seconds >= 0) || !(o.ahead_seconds >= 1)) return "retry_seconds or ahead_seconds: accepted: 0, 1 or more";
  return "";
}

}  // namespace

extern "C" {

void facerig_options_init(facerig_options *options) {
  if (!options) return;
  std::memset(options, 0, sizeof *options);
  options->size = sizeof *options;
  options->servers = "127.0.0.1:52100";
  options->rig = "arkit";
  options->rate = 24000;
  options->channels = 1;
  options->fps = 60;
  options->retry_seconds = 10;
  options->ahead_seconds = 30;
}

facerig_stream *facerig_open(const facerig_options *options, char *error, size_t error_size) {
  copy("", error, error_size);
  if (!options || options->size != sizeof *options) {
    copy("options: not filled by facerig_options_init of this version", error, error_size);
    return nullptr;
  }
  try {
    facerig::Wish wish;
    wish.servers = split(text(options->servers));
    const std::string fault = wrong(*options, wish.servers);
    if (!fault.empty()) {
      copy(fault, error, error_size);
      return nullptr;
    }
    wish.api_key = text(options->api_key);
    wish.tls = options->ca_pem != nullptr;
    wish.ca_pem = text(options->ca_pem);
    wish.rig = text(options->rig);
    wish.style = text(options->style);
    wish.rate = options->rate;
    wish.channels = options->channels;
    wish.fps = options->fps;
    wish.lead_ms = options->lead_ms;
    wish.seed = options->seed;
    wish.encoding = options->encoding;
    wish.pacing = options->pacing;
    wish.retry_seconds = options->retry_seconds;
    wish.ahead_seconds = options->ahead_seconds;
    return new facerig_stream(std::move(wish));
  } catch (const std::exception &caught) {
    copy(caught.what(), error, error_size);
    return nullptr;
  }
}

facerig_result facerig_ready(facerig_stream *stream, int timeout_ms) {
  return guarded(stream, [&] { return result(stream->inner.ready(timeout_ms)); });
}

size_t facerig_channel_count(facerig_stream *stream) { return stream ? stream->inner.channel_count() : 0; }

const char *facerig_channel_name(facerig_stream *stream, size_t channel) {
  return stream ? stream->inner.channel_name(channel) : nullptr;
}

facerig_result facerig_send(facerig_stream *stream, const void *data, size_t bytes) {
  if (!data && bytes) return FACERIG_INVALID;
  return guarded(stream, [&] { return result(stream->inner.send(data, bytes)); });
}

facerig_result facerig_end(facerig_stream *stream) {
  return guarded(stream, [&] { return result(stream->inner.end()); });
}

facerig_result facerig_emotion(facerig_stream *stream, const char *name, float weight, uint32_t fade_ms) {
  if (!name) return FACERIG_INVALID;
  facerig::v1::Control made;
  (*made.mutable_emotion()->mutable_weights())[name] = weight;
  made.mutable_emotion()->set_fade_ms(fade_ms);
  return control(stream, std::move(made));
}

facerig_result facerig_gain(facerig_stream *stream, const char *region, float gain, uint32_t fade_ms) {
  if (!region) return FACERIG_INVALID;
  facerig::v1::Control made;
  (*made.mutable_gains()->mutable_regions())[region] = gain;
  made.mutable_gains()->set_fade_ms(fade_ms);
  return control(stream, std::move(made));
}

facerig_result facerig_set_state(facerig_stream *stream, facerig_state state) {
  if (state < FACERIG_BY_VOICE || state > FACERIG_OFF) return FACERIG_INVALID;
  facerig::v1::Control made;
  made.set_state(static_cast<facerig::v1::State>(state));
  return control(stream, std::move(made));
}

facerig_result facerig_look_at(facerig_stream *stream, float yaw, float pitch, uint32_t fade_ms) {
  facerig::v1::Control made;
  made.mutable_look_at()->set_yaw(yaw);
  made.mutable_look_at()->set_pitch(pitch);
  made.mutable_look_at()->set_fade_ms(fade_ms);
  return control(stream, std::move(made));
}

facerig_result facerig_look_release(facerig_stream *stream, uint32_t fade_ms) {
  facerig::v1::Control made;
  made.mutable_look_at()->set_release(true);
  made.mutable_look_at()->set_fade_ms(fade_ms);
  return control(stream, std::move(made));
}

facerig_result facerig_mark(facerig_stream *stream, const char *id) {
  if (!id || !*id) return FACERIG_INVALID;
  facerig::v1::Control made;
  made.mutable_marker()->set_id(id);
  return control(stream, std::move(made));
}

facerig_result facerig_interrupt(facerig_stream *stream, uint32_t release_ms) {
  return guarded(stream, [&] { return result(stream->inner.interrupt(release_ms)); });
}

facerig_result facerig_next(facerig_stream *stream, facerig_event *event, float *values, size_t capacity,
                            int timeout_ms) {
  if (!event || (!values && capacity)) return FACERIG_INVALID;
  return guarded(stream, [&] {
    facerig::Event got;
    const Outcome outcome = stream->inner.next(&got, timeout_ms);
    if (outcome != Outcome::ok) return result(outcome);
    event->kind = static_cast<facerig_kind>(got.kind);
    event->index = got.index;
    event->count = got.values.size();
    copy(got.text, event->text, sizeof event->text);
    std::copy_n(got.values.begin(), std::min(capacity, got.values.size()), values);
    return FACERIG_OK;
  });
}

uint32_t facerig_reconnects(facerig_stream *stream) { return stream ? stream->inner.reconnects() : 0; }

void facerig_error(facerig_stream *stream, char *out, size_t size) {
  copy(stream ? stream->inner.error() : std::string("no stream"), out, size);
}

void facerig_close(facerig_stream *stream) { delete stream; }

}  // extern "C"
