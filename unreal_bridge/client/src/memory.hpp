// What a stream remembers, so that any server can go on with it: the audio of the last seconds, controls, its place.
// Knows messages, no connection. Not safe by itself: the stream's lock guards it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "facerig/v1/animation.pb.h"

namespace facerig {

struct Wish {
  std::vector<std::string> servers;
  std::string api_key, ca_pem, rig, style;
  bool tls = false;
  uint32_t rate = 24000, channels = 1, fps = 60, lead_ms = 0;
  uint64_t seed = 0;
  int encoding = 0, pacing = 0;
  double retry_seconds = 10, ahead_seconds = 30;

  size_t width() const { return (encoding == 1 ? 4u : 2u) * channels; }

  v1::Header header() const {
    v1::Header made;
    auto *audio = made.mutable_audio();
    audio->set_encoding(encoding == 1 ? v1::AudioFormat::ENCODING_FLOAT32 : v1::AudioFormat::ENCODING_PCM16);
    audio->set_rate(rate);
    audio->set_channels(channels);
    made.set_rig(rig);
    made.set_fps(fps);
    made.set_style(style);
    made.set_seed(seed);
    if (pacing != 0) {
      made.mutable_pacing()->set_mode(static_cast<v1::Pacing::Mode>(pacing));
      made.mutable_pacing()->set_lead_ms(lead_ms);
    }
    return made;
  }
};

struct Memory {
  static constexpr int64_t kFadeMost = 10;  // seconds: a control older than that has done all it does

  std::string session_id;
  int64_t last_frame = -1;
  std::vector<float> last_values;
  uint64_t segment_frame = 0, first_sample = 0;
  uint32_t context_ms = 0;
  bool resumable = true, ended = false;
  std::string audio;  // from first_sample on
  uint64_t told = 0;  // controls so far; each has a number, so that a connection knows which it has sent
  std::map<uint64_t, v1::Control> controls;
  std::map<std::string, float> gains;
  int64_t tidied = 0;  // the frame at which controls were last forgotten

  uint64_t samples(const Wish &wish) const { return first_sample + audio.size() / wish.width(); }

  // Seconds of the segment whose frames came.
  double shown(const Wish &wish) const {
    const int64_t rows = last_frame + 1 - static_cast<int64_t>(segment_frame);
    return static_cast<double>(std::max<int64_t>(0, rows)) / wish.fps;
  }

  // Seconds of audio whose frames have not come: what is kept beyond that is there to resume.
  double ahead(const Wish &wish) const {
    return static_cast<double>(samples(wish)) / wish.rate - shown(wish);
  }

  void place(const Wish &wish, v1::Control control) {
    const uint64_t at = (samples(wish) * wish.fps + wish.rate - 1) / wish.rate;
    control.set_frame(segment_frame + at);
    if (control.has_gains()) {  // what earlier ones said of other regions is said again
      for (const auto &one : control.gains().regions()) gains[one.first] = one.second;
      for (const auto &one : gains) (*control.mutable_gains()->mutable_regions())[one.first] = one.second;
    }
    controls[told++] = std::move(control);
  }

  void got(const Wish &wish, const v1::Frame &frame) {
    last_frame = static_cast<int64_t>(frame.index());
    last_values.assign(frame.values().begin(), frame.values().end());
    const int64_t row = last_frame + 1 - static_cast<int64_t>(segment_frame);
    const int64_t keep = row * wish.rate / wish.fps - static_cast<int64_t>(context_ms) * wish.rate / 1000;
    const int64_t drop = std::min(keep - static_cast<int64_t>(first_sample),
                                  static_cast<int64_t>(audio.size() / wish.width()));
    if (drop > static_cast<int64_t>(wish.rate / 4)) {  // in pieces of 250 ms, so that frames do not move bytes
      audio.erase(0, static_cast<size_t>(drop) * wish.width());
      first_sample += static_cast<uint64_t>(drop);
    }
    if (last_frame >= tidied + wish.fps) forget_old(wish);
  }

  void reached(const std::string &marker) {
    forget_if([&](const v1::Control &one) { return one.has_marker() && one.marker().id() == marker; });
  }

  // What was given before belongs to nothing any more, and the voice tells the state again, from frame `frame` on. The
  // server drops the controls of what was not shown, so nobody is told them again.
  void interrupted(uint64_t frame, uint64_t segment) {
    segment_frame = segment;
    first_sample = 0;
    audio.clear();
    forget_if([&](const v1::Control &one) { return one.has_marker() || one.frame() >= frame; });
    gains.clear();
    for (auto &[number, one] : controls) {
      if (one.has_gains())  // each says all that was said until then
        gains = {one.gains().regions().begin(), one.gains().regions().end()};
      if (one.has_keyframes() && !one.keyframes().has_until()) one.mutable_keyframes()->set_until(frame);
    }
    v1::Control by_voice;
    by_voice.set_frame(frame);
    by_voice.set_state(v1::STATE_UNSPECIFIED);
    controls[told++] = std::move(by_voice);
  }

  v1::Header resumption(const Wish &wish) const {
    v1::Header made = wish.header();
    auto *resume = made.mutable_resume();
    resume->set_session_id(session_id);
    resume->set_last_frame(last_frame);
    resume->set_first_sample(first_sample);
    resume->set_segment_frame(segment_frame);
    resume->mutable_last_values()->Add(last_values.begin(), last_values.end());
    return made;
  }

  // Controls that are over say nothing more, but for the last of each kind. A server looks back as far as its context.
  void forget_old(const Wish &wish) {
    tidied = last_frame;
    const int64_t past = last_frame - kFadeMost * wish.fps - static_cast<int64_t>(context_ms) * wish.fps / 1000;
    std::map<int, uint64_t> last;
    for (const auto &[number, one] : controls)
      if (static_cast<int64_t>(one.frame()) <= past) last[one.what_case()] = number;
    for (auto it = controls.begin(); it != controls.end();) {
      const bool over = static_cast<int64_t>(it->second.frame()) <= past && !it->second.has_marker();
      it = over && last[it->second.what_case()] != it->first ? controls.erase(it) : std::next(it);
    }
  }

 private:
  template <typename Test>
  void forget_if(Test test) {
    for (auto it = controls.begin(); it != controls.end();) it = test(it->second) ? controls.erase(it) : std::next(it);
  }
};

}  // namespace facerig
