// The checkpoints of one run: a few files that are written in turn, so that the newest ones are
// whole while another is being written. They are opened before the process gives up the calls that
// open files (sandbox/lock_down.h), and written by a thread that is started before, too: training
// waits for a copy of the tensors, not for the disk.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "harness/base/fd.h"
#include "trainer/checkpoint/checkpoint.h"

namespace bitloop::trainer {

class CheckpointFiles {
 public:
  // Opens or makes checkpoint-0.safetensors … in the folder, one more than are to be kept, and
  // starts the thread. Errors: "io_error".
  static Result<std::unique_ptr<CheckpointFiles>> open(const std::filesystem::path& folder,
                                                       int64_t keep);
  ~CheckpointFiles();  // waits for what is being written

  // The newest one that is whole and of this run; nothing when there is none. `complaints` gets a
  // sentence for each file that can't be used, but for empty ones. Once, before the first save():
  // the files were mapped when they were opened. Error "infrastructure" where all that is whole is
  // of another run or of a newer bitloop: it must not be written over.
  Result<std::optional<Checkpoint>> newest(const std::string& run,
                                           std::vector<std::string>& complaints);

  // Copies the tensors and writes them, in place of the oldest. Waits for the one before.
  void save(Checkpoint checkpoint, std::string run);

  // How a save() went.
  struct Saved {
    int64_t step = 0;
    std::string file;
    double seconds = 0;
    Status status;
  };
  // Each is told once, in their order; nothing when there is none that was not told.
  std::optional<Saved> take_saved();
  // Waits for what is being written.
  void wait();

 private:
  struct Slot {
    std::string name;
    UniqueFd file;
    std::shared_ptr<const MappedFile> mapped;  // of an earlier process; none for an empty file
    int64_t step = 0;                          // what it holds, 0: nothing
  };
  struct Task {
    Checkpoint checkpoint;
    std::string run;
    size_t slot = 0;
  };
  void work();

  std::vector<Slot> slots_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Task> task_;  // waiting or being written
  std::vector<Saved> saved_;
  bool stopping_ = false;
  std::thread writer_;
};

}  // namespace bitloop::trainer
