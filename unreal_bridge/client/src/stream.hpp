// One live stream: a thread that connects, listens and connects again, and a thread a connection that speaks.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "facerig/v1/animation.grpc.pb.h"
#include "memory.hpp"

namespace facerig {

struct Event {
  int kind = 0;
  uint64_t index = 0;
  std::vector<float> values;
  std::string text;
};

class Stream {
 public:
  explicit Stream(Wish wish);
  ~Stream();
  Stream(const Stream &) = delete;
  Stream &operator=(const Stream &) = delete;

  enum class Outcome { ok, nothing, done, full, invalid, failed };

  Outcome ready(int timeout_ms);
  Outcome send(const void *data, size_t bytes);
  Outcome end();
  Outcome control(v1::Control control);
  Outcome interrupt(uint32_t release_ms);
  Outcome next(Event *event, int timeout_ms);
  size_t channel_count();
  const char *channel_name(size_t channel);
  uint32_t reconnects() const { return reconnects_; }
  std::string error();

 private:
  using Wire = grpc::ClientReaderWriter<v1::AnimateRequest, v1::AnimateResponse>;
  using Lock = std::unique_lock<std::mutex>;
  using Clock = std::chrono::steady_clock;

  // How a connection ended: for good, by a fault that another connection may mend, or by one that none can.
  struct End {
    bool done = false, lost = false;
    std::string why;
  };

  // What a connection has been told.
  struct Told {
    uint64_t sample, control, asked, answered;
    bool ended;
  };

  void live();
  End connection(const std::string &address);
  End listen(Wire &wire, grpc::ClientContext &context);
  bool answered(const v1::AnimateResponse &answer, std::string *fault);
  bool take_frames(const v1::Frames &frames, std::string *fault);
  void speak(Wire &wire, const bool &over);
  bool next_message(Told &told, v1::AnimateRequest *request);
  bool next_audio(Told &told, v1::AnimateRequest *request);
  void push(Lock &lock, Event event);
  void fail(std::string why);
  Outcome state();

  const Wish wish_;
  std::mutex mutex_;
  std::condition_variable news_;    // something to say, or the end
  std::condition_variable events_;  // something was heard, or room was made
  Memory memory_;
  std::vector<std::string> channels_;
  std::deque<Event> queue_;
  std::string later_;  // audio given while an interrupt is under way: it belongs to the new segment
  std::vector<v1::Control> later_controls_;
  uint64_t asked_ = 0, answered_ = 0;  // interrupts by number: one is under way where they differ
  uint32_t release_ms_ = 100;
  bool began_ = false, done_ = false, closing_ = false;
  std::string error_;
  grpc::ClientContext *context_ = nullptr;  // of the running connection, to cancel it
  std::atomic<uint32_t> reconnects_{0};
  std::thread thread_;  // last: it starts when all else stands
};

}  // namespace facerig
