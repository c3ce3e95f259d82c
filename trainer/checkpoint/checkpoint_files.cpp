#include "trainer/checkpoint/checkpoint_files.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace bitloop::trainer {

Result<std::unique_ptr<CheckpointFiles>> CheckpointFiles::open(const std::filesystem::path& folder,
                                                               int64_t keep) {
  auto files = std::make_unique<CheckpointFiles>();
  for (int64_t i = 0; i <= keep; ++i) {
    Slot slot;
    slot.name = fmt::format("checkpoint-{}.safetensors", i);
    BITLOOP_ASSIGN(file, open_file(folder / slot.name, O_RDWR | O_CREAT));
    slot.file = std::move(file);
    BITLOOP_ASSIGN(mapped, MappedFile::map(slot.file.get()));
    if (mapped->size() > 0) slot.mapped = std::move(mapped);
    files->slots_.push_back(std::move(slot));
  }
  files->writer_ = std::thread([raw = files.get()] { raw->work(); });
  return files;
}

CheckpointFiles::~CheckpointFiles() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (writer_.joinable()) writer_.join();
}

Result<std::optional<Checkpoint>> CheckpointFiles::newest(const std::string& run,
                                                          std::vector<std::string>& complaints) {
  struct Candidate {
    Slot* slot;
    MappedTensors tensors;
  };
  std::vector<Candidate> found;
  for (Slot& slot : slots_) {
    const auto mapped = std::exchange(slot.mapped, nullptr);
    if (!mapped) continue;
    auto tensors = MappedTensors::parse(mapped);
    if (tensors)
      found.push_back({&slot, std::move(*tensors)});
    else
      complaints.push_back(fmt::format("{} {}", slot.name, tensors.error().message));
  }
  std::ranges::sort(found, std::ranges::greater(),
                    [](const Candidate& file) { return checkpoint_step(file.tensors); });
  std::optional<Checkpoint> newest;
  std::string foreign;
  for (const Candidate& file : found) {
    if (newest) {  // older ones are written over last to first, and not read
      file.slot->step = checkpoint_step(file.tensors);
      continue;
    }
    auto checkpoint = read_checkpoint(file.tensors, run);
    if (!checkpoint) {
      complaints.push_back(fmt::format("{} {}", file.slot->name, checkpoint.error().message));
      if (foreign.empty() && checkpoint.error().code == "foreign_checkpoint")
        foreign = complaints.back();
      continue;
    }
    file.slot->step = checkpoint->step;
    newest = std::move(*checkpoint);
  }
  if (!newest && !foreign.empty())
    return fail("infrastructure",
                fmt::format("no checkpoint here can be gone on from, and none is written over: {}; "
                            "go on where it was made, or train again",
                            foreign));
  return newest;
}

void CheckpointFiles::save(Checkpoint checkpoint, std::string run) {
  wait();  // first, so that there is one copy in memory at a time
  for (auto& [name, tensor] : checkpoint.tensors)
    tensor = tensor.detach().to(at::kCPU, tensor.scalar_type(), /*non_blocking=*/false,
                                /*copy=*/true);
  const auto oldest = std::ranges::min_element(slots_, {}, &Slot::step);
  {
    const std::lock_guard lock(mutex_);
    oldest->step = checkpoint.step;
    task_ =
        Task{std::move(checkpoint), std::move(run), static_cast<size_t>(oldest - slots_.begin())};
  }
  changed_.notify_all();
}

std::optional<CheckpointFiles::Saved> CheckpointFiles::take_saved() {
  const std::lock_guard lock(mutex_);
  if (saved_.empty()) return std::nullopt;
  Saved first = std::move(saved_.front());
  saved_.erase(saved_.begin());
  return first;
}

void CheckpointFiles::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !task_; });
}

void CheckpointFiles::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || task_; });
    if (!task_) return;
    lock.unlock();
    Slot& slot = slots_[task_->slot];
    const auto start = std::chrono::steady_clock::now();
    Saved saved{task_->checkpoint.step, slot.name, 0,
                write_checkpoint(slot.file.get(), task_->checkpoint, task_->run)};
    saved.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    lock.lock();
    if (!saved.status) slot.step = 0;
    saved_.push_back(std::move(saved));
    task_.reset();
    changed_.notify_all();
  }
}

}  // namespace bitloop::trainer
