#include "stream.hpp"

#include <algorithm>

namespace facerig {

namespace {

constexpr size_t kMessageMost = 16384;  // bytes of audio in a message: small against any server's limit
constexpr size_t kEventsMost = 4096;    // then the server is read no further, and slows down
constexpr int kBurst = 2;
// Seconds beyond the last frame that go to a server which paces them: less than it holds before it reads no further, so
// that a barge-in never waits behind unread audio. The same as WIRE_AHEAD of facerig/client/stream.py.
constexpr double kWireAhead = 1.5;
constexpr std::chrono::seconds kAlive(5);  // then a stream whose caller takes no frames says that it is still there
constexpr double kPauses[] = {0.0, 0.05, 0.1, 0.2, 0.5, 1.0};  // seconds before the tries to reconnect
constexpr int kKeepaliveMs = 10000;

std::shared_ptr<grpc::Channel> open_channel(const Wish &wish, const std::string &address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // two streams never share a broken connection
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt("grpc.http2.ping_timeout_ms", kKeepaliveMs);  // newer gRPC notices a dead link by this alone
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  if (!wish.tls) return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  grpc::SslCredentialsOptions secure;
  secure.pem_root_certs = wish.ca_pem;
  return grpc::CreateCustomChannel(address, grpc::SslCredentials(secure), arguments);
}

bool may_come_back(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::ABORTED:
      return true;
    default:
      return false;
  }
}

double seconds(std::chrono::steady_clock::duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

Stream::Stream(Wish wish) : wish_(std::move(wish)), thread_([this] { live(); }) {}

Stream::~Stream() {
  {
    Lock lock(mutex_);
    closing_ = true;
    if (context_) context_->TryCancel();
  }
  news_.notify_all();
  events_.notify_all();
  thread_.join();
}

// ---- what the caller does ----------------------------------------------------------------------------------------

Stream::Outcome Stream::state() { return error_.empty() ? Outcome::ok : Outcome::failed; }

Stream::Outcome Stream::ready(int timeout_ms) {
  Lock lock(mutex_);
  events_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [this] { return began_ || !error_.empty(); });
  return began_ ? Outcome::ok : error_.empty() ? Outcome::nothing : Outcome::failed;
}

Stream::Outcome Stream::send(const void *data, size_t bytes) {
  Lock lock(mutex_);
  if (!error_.empty()) return Outcome::failed;
  if (memory_.ended) return Outcome::invalid;
  const double fresh = static_cast<double>(later_.size() + bytes) / static_cast<double>(wish_.width()) / wish_.rate;
  if (memory_.ahead(wish_) + fresh > wish_.ahead_seconds) return Outcome::full;
  (asked_ != answered_ ? later_ : memory_.audio).append(static_cast<const char *>(data), bytes);
  news_.notify_all();
  return Outcome::ok;
}

Stream::Outcome Stream::end() {
  Lock lock(mutex_);
  memory_.ended = true;
  news_.notify_all();
  return state();
}

Stream::Outcome Stream::control(v1::Control control) {
  Lock lock(mutex_);
  if (done_) return Outcome::done;  // no frame is left to show it
  if (asked_ != answered_)
    later_controls_.push_back(std::move(control));
  else
    memory_.place(wish_, std::move(control));
  news_.notify_all();
  return state();
}

Stream::Outcome Stream::interrupt(uint32_t release_ms) {
  Lock lock(mutex_);
  if (done_) return Outcome::done;  // nothing is left to drop
  if (asked_ == answered_) {
    ++asked_;
  } else {  // one is under way: what was given since is dropped as well
    later_.clear();
    later_controls_.clear();
  }
  release_ms_ = release_ms;
  news_.notify_all();
  return state();
}

Stream::Outcome Stream::next(Event *event, int timeout_ms) {
  Lock lock(mutex_);
  events_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                   [this] { return !queue_.empty() || done_ || !error_.empty(); });
  if (!queue_.empty()) {
    *event = std::move(queue_.front());
    queue_.pop_front();
    events_.notify_all();
    return Outcome::ok;
  }
  return !error_.empty() ? Outcome::failed : done_ ? Outcome::done : Outcome::nothing;
}

size_t Stream::channel_count() {
  Lock lock(mutex_);
  return channels_.size();
}

const char *Stream::channel_name(size_t channel) {
  Lock lock(mutex_);
  return channel < channels_.size() ? channels_[channel].c_str() : nullptr;
}

std::string Stream::error() {
  Lock lock(mutex_);
  return error_;
}

// ---- connections -------------------------------------------------------------------------------------------------

void Stream::fail(std::string why) {
  Lock lock(mutex_);
  error_ = std::move(why);
  events_.notify_all();
}

void Stream::live() {
  size_t tries = 0, place = 0;
  auto since = Clock::now();
  for (;;) {
    int64_t before;
    {
      Lock lock(mutex_);
      if (closing_) return;
      before = memory_.last_frame;
    }
    const std::string &address = wish_.servers[place++ % wish_.servers.size()];
    const End end = connection(address);
    Lock lock(mutex_);
    if (closing_) return;
    if (end.done) {
      done_ = true;
      events_.notify_all();
      return;
    }
    if (memory_.last_frame > before) {  // it went on for a while: a new break, a new count
      tries = 0;
      since = Clock::now();
    }
    if (!end.lost || !memory_.resumable || seconds(Clock::now() - since) > wish_.retry_seconds) {
      lock.unlock();
      return fail(address + ": " + end.why);
    }
    reconnects_ += began_ ? 1 : 0;
    const size_t row = std::min(tries++ / wish_.servers.size(), std::size(kPauses) - 1);
    news_.wait_for(lock, std::chrono::duration<double>(kPauses[row]), [this] { return closing_; });
  }
}

Stream::End Stream::connection(const std::string &address) {
  auto stub = v1::Animation::NewStub(open_channel(wish_, address));
  grpc::ClientContext context;
  if (!wish_.api_key.empty()) context.AddMetadata("authorization", "Bearer " + wish_.api_key);
  v1::AnimateRequest first;
  {
    Lock lock(mutex_);
    if (closing_) return {};
    context_ = &context;
    *first.mutable_header() = began_ ? memory_.resumption(wish_) : wish_.header();
  }
  auto wire = stub->Animate(&context);
  bool over = false;  // guarded by the lock
  std::thread mouth([&] {
    if (wire->Write(first)) speak(*wire, over);
  });
  End end = listen(*wire, context);
  {
    Lock lock(mutex_);
    over = true;
    news_.notify_all();
  }
  context.TryCancel();  // a mouth that is stuck in a write gets out
  mouth.join();
  {
    Lock lock(mutex_);
    context_ = nullptr;
  }
  return end;
}

Stream::End Stream::listen(Wire &wire, grpc::ClientContext &context) {
  End end;
  v1::AnimateResponse answer;
  while (wire.Read(&answer)) {
    if (answered(answer, &end.why)) end.done = true;
    if (!end.why.empty()) {
      context.TryCancel();
      return end;
    }
  }
  const grpc::Status status = wire.Finish();
  if (status.ok() && end.done) return end;
  end.done = false;
  end.lost = status.ok() || may_come_back(status.error_code());
  end.why = status.ok() ? "the stream ended without a status" : status.error_message();
  if (end.why.empty()) end.why = "gRPC status " + std::to_string(status.error_code());
  return end;
}

bool Stream::answered(const v1::AnimateResponse &answer, std::string *fault) {
  Lock lock(mutex_);
  switch (answer.part_case()) {
    case v1::AnimateResponse::kHeader: {
      const auto &header = answer.header();
      std::vector<std::string> channels(header.channels().begin(), header.channels().end());
      if (began_ && channels != channels_) {
        *fault = "resume: this server has other channels; run the same model on all of them";
        return false;
      }
      if (!began_) channels_ = std::move(channels);  // once only: the caller holds pointers to the names
      memory_.session_id = header.session_id();
      memory_.context_ms = header.context_ms();
      memory_.resumable = header.resumable();
      began_ = true;
      events_.notify_all();
      return false;
    }
    case v1::AnimateResponse::kFrames:
      lock.unlock();
      return take_frames(answer.frames(), fault);
    case v1::AnimateResponse::kMarker:
      memory_.reached(answer.marker().id());
      push(lock, {1, answer.marker().frame(), {}, answer.marker().id()});
      return false;
    case v1::AnimateResponse::kInterrupted:
      memory_.interrupted(answer.interrupted().frame(), answer.interrupted().segment_frame());
      answered_ = asked_;
      memory_.audio = std::move(later_);
      later_.clear();
      for (auto &control : later_controls_) memory_.place(wish_, std::move(control));
      later_controls_.clear();
      news_.notify_all();
      push(lock, {2, answer.interrupted().segment_frame(), {}, ""});
      return false;
    case v1::AnimateResponse::kNotice:
      push(lock, {3, 0, {}, answer.notice().text()});
      return false;
    case v1::AnimateResponse::kStatus:
      return answer.status().code() == v1::Status::CODE_DONE;
    default:
      return false;  // of a newer server
  }
}

bool Stream::take_frames(const v1::Frames &frames, std::string *fault) {
  for (const auto &frame : frames.frames()) {
    Lock lock(mutex_);
    const auto index = static_cast<int64_t>(frame.index());
    if (index <= memory_.last_frame) continue;
    if (index != memory_.last_frame + 1) {
      *fault = "frame " + std::to_string(index) + " came after frame " + std::to_string(memory_.last_frame);
      return false;
    }
    memory_.got(wish_, frame);
    news_.notify_all();  // there may be room on the wire
    push(lock, {0, frame.index(), {frame.values().begin(), frame.values().end()}, ""});
  }
  return false;
}

void Stream::push(Lock &lock, Event event) {
  events_.wait(lock, [this] { return queue_.size() < kEventsMost || closing_; });
  queue_.push_back(std::move(event));
  events_.notify_all();
}

// Everything from where the memory begins, then what comes: after the end that is controls.
void Stream::speak(Wire &wire, const bool &over) {
  Lock lock(mutex_);
  memory_.forget_old(wish_);
  Told told{memory_.first_sample, 0, answered_, answered_, false};
  while (!over && !closing_) {
    v1::AnimateRequest request;
    if (!next_message(told, &request)) {
      const bool waited = news_.wait_for(lock, kAlive) == std::cv_status::timeout;
      if (!waited || over || closing_ || asked_ != answered_ || told.sample >= memory_.samples(wish_)) continue;
      request.mutable_audio();
    }
    lock.unlock();
    const bool written = wire.Write(request);
    lock.lock();
    if (!written) return;
  }
}

// The next message, if there is one to be said now.
bool Stream::next_message(Told &told, v1::AnimateRequest *request) {
  if (told.answered != answered_) {  // a new segment
    told.answered = answered_;
    told.sample = memory_.first_sample;
  }
  const auto control = memory_.controls.lower_bound(told.control);
  if (control != memory_.controls.end()) {
    told.control = control->first + 1;
    *request->mutable_control() = control->second;
    return true;
  }
  if (told.asked != asked_) {
    told.asked = asked_;
    request->mutable_control()->mutable_interrupt()->set_release_ms(release_ms_);
    return true;
  }
  if (asked_ != answered_) return false;
  if (told.sample < memory_.samples(wish_)) return next_audio(told, request);
  if (!memory_.ended || told.ended) return false;
  request->mutable_end();
  return told.ended = true;
}

// The next audio, if it is time for it.
bool Stream::next_audio(Told &told, v1::AnimateRequest *request) {
  if (wish_.pacing != kBurst && static_cast<double>(told.sample) / wish_.rate >= memory_.shown(wish_) + kWireAhead)
    return false;
  const size_t width = wish_.width();
  told.sample = std::max(told.sample, memory_.first_sample);
  const size_t at = static_cast<size_t>(told.sample - memory_.first_sample) * width;
  const size_t whole = memory_.audio.size() / width * width;
  const size_t size = std::min(whole - at, kMessageMost / width * width);
  request->mutable_audio()->set_data(memory_.audio.substr(at, size));
  told.sample += size / width;
  return true;
}

}  // namespace facerig
