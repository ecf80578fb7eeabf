// What the library keeps of a stream, without a server. Prints it as JSON.
#include <cstdio>

#include "memory.hpp"

using facerig::Memory;
namespace v1 = facerig::v1;

static v1::Control look(float yaw) {
  v1::Control made;
  made.mutable_look_at()->set_yaw(yaw);
  return made;
}

static v1::Control gain(const char *region, float value) {
  v1::Control made;
  (*made.mutable_gains()->mutable_regions())[region] = value;
  return made;
}

static void show(Memory &memory, uint64_t index) {
  v1::Frame frame;
  frame.set_index(index);
  memory.got({}, frame);
}

int main() {
  const facerig::Wish wish;
  Memory game;  // one that looks somewhere with every frame, for ten minutes
  size_t most = 0;
  for (uint64_t k = 0; k < 36000; ++k) {
    game.audio.append(800, '\0');
    game.place(wish, look(static_cast<float>(k % 40)));
    show(game, k);
    most = std::max(most, game.controls.size());
  }

  Memory cut;  // jaw is told at once, brows a second later, where nothing has been shown yet
  cut.place(wish, gain("jaw", 0.5f));
  cut.audio.append(48000, '\0');
  cut.place(wish, gain("brows", 0.1f));
  cut.place(wish, look(20));
  show(cut, 9);
  cut.interrupted(10, 16);
  cut.place(wish, gain("lips", 0.7f));
  std::printf("{\"most\": %zu, \"kept\": [", most);
  for (const auto &[number, one] : cut.controls)
    std::printf("%s[%llu, %d, %d]", number ? ", " : "", static_cast<unsigned long long>(one.frame()), one.what_case(),
                one.gains().regions_size());
  std::printf("]}\n");
}
