// Keeps the journal packed while it is used: a thread of the lowest priority that looks at the
// number of loose objects now and then and packs them (pack.h) when they are many. It never holds
// what an event waits for.
#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string_view>
#include <thread>

namespace bitloop::journal {

class Packer {
 public:
  struct Options {
    size_t after = 5000;                      // loose objects; 0: never
    std::chrono::milliseconds pause{10'000};  // between two looks
    // Told of each pack, or of what went wrong, in words.
    std::function<void(std::string_view sentence, bool failed)> report = {};
  };
  // Looks at once, then every `pause`. The journal's folder must outlive the packer.
  Packer(std::filesystem::path repository, Options options);
  ~Packer();  // stops: what was begun is left, and changes nothing
  Packer(const Packer&) = delete;
  Packer& operator=(const Packer&) = delete;

 private:
  void work();
  void look();
  bool is_stopping();

  std::filesystem::path repository_;
  Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace bitloop::journal
