// The protocol in a page of C++: 16-bit mono PCM from a file, frames of face curves to stdout as CSV.
//
// It does not resume a stream that breaks; unreal_bridge/client is the library that does.
// Build: cmake -S facerig/client/examples -B build/minimal && cmake --build build/minimal
// Run:   build/minimal/minimal 127.0.0.1:52100 voice.pcm 24000
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "facerig/v1/animation.grpc.pb.h"

namespace pb = facerig::v1;

int main(int count, char** words) {
  if (count != 4) {
    std::fprintf(stderr, "usage: minimal HOST:PORT FILE.pcm RATE\n");
    return 2;
  }
  std::ifstream file(words[2], std::ios::binary);
  const std::string sound((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  auto stub = pb::Animation::NewStub(grpc::CreateChannel(words[1], grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  auto stream = stub->Animate(&context);

  pb::AnimateRequest first;
  first.mutable_header()->mutable_audio()->set_rate(std::stoi(words[3]));
  first.mutable_header()->mutable_pacing()->set_mode(pb::Pacing::MODE_BURST);
  stream->Write(first);

  std::thread speaker([&] {  // frames come while audio goes
    const std::size_t chunk = 4096;
    bool open = true;
    for (std::size_t at = 0; open && at < sound.size(); at += chunk) {
      pb::AnimateRequest request;
      request.mutable_audio()->set_data(sound.substr(at, chunk));
      open = stream->Write(request);
    }
    pb::AnimateRequest end;
    end.mutable_end();
    if (open) stream->Write(end);
    stream->WritesDone();
  });

  pb::AnimateResponse answer;
  while (stream->Read(&answer)) {
    if (answer.has_header()) {
      std::printf("frame");
      for (const auto& name : answer.header().channels()) std::printf(",%s", name.c_str());
      std::printf("\n");
    }
    for (const auto& frame : answer.frames().frames()) {
      std::printf("%llu", static_cast<unsigned long long>(frame.index()));
      for (float value : frame.values()) std::printf(",%.9g", value);
      std::printf("\n");
    }
    if (answer.has_status()) std::fprintf(stderr, "%s\n", answer.status().reason().c_str());
  }
  speaker.join();
  const grpc::Status status = stream->Finish();
  if (!status.ok()) std::fprintf(stderr, "error %d: %s\n", status.error_code(), status.error_message().c_str());
  return status.ok() ? 0 : 1;
}
