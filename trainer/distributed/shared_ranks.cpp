#include "trainer/distributed/shared_ranks.h"

#include <ATen/ATen.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "trainer/kernels/packing.h"
#include "trainer/kernels/team.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kLine = 64;  // bytes that processors hand to each other at once
constexpr int64_t kLineFloats = kLine / static_cast<int64_t>(sizeof(float));
constexpr int64_t kGrain = 16 * 1024;  // floats worth a thread
// Rank 0 is the one that says who is late: it waits for less long than those that wait for it.
constexpr std::chrono::seconds kPatience{5};
constexpr std::chrono::milliseconds kBeat{200};
static_assert(std::atomic<uint32_t>::is_always_lock_free);

// Calls body(tensor's bytes at the place, bytes, place in the piece) for the parts of all tensors
// that make up the piece [begin, end) of their bytes laid end to end.
template <typename Body>
void for_parts(std::span<const at::Tensor> tensors, int64_t begin, int64_t end, const Body& body) {
  int64_t at = 0;
  for (const at::Tensor& tensor : tensors) {
    const auto bytes = static_cast<int64_t>(tensor.nbytes());
    const int64_t from = std::max(begin, at), to = std::min(end, at + bytes);
    if (from < to) body(tensor, from - at, to - from, from - begin);
    at += bytes;
  }
}

int64_t bytes_of(std::span<const at::Tensor> tensors) {
  int64_t bytes = 0;
  for (const at::Tensor& tensor : tensors) {
    TORCH_CHECK(tensor.is_contiguous(), "ranks exchange contiguous tensors");
    bytes += static_cast<int64_t>(tensor.nbytes());
  }
  return bytes;
}

void copy_bytes(const char* from, int64_t bytes, char* to) {
  kernels::run_parts(bytes, kGrain * static_cast<int64_t>(sizeof(float)),
                     [&](int64_t begin, int64_t end) {
                       std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
                     });
}

// `bytes` of a tensor from `offset` on, as bytes; of a device's tensor too.
at::Tensor part_of_tensor(const at::Tensor& tensor, int64_t offset, int64_t bytes) {
  return tensor.detach().view({-1}).view(at::kByte).narrow(0, offset, bytes);
}

void copy_in(std::span<const at::Tensor> tensors, int64_t begin, int64_t end, char* slot) {
  for_parts(tensors, begin, end,
            [&](const at::Tensor& tensor, int64_t offset, int64_t bytes, int64_t place) {
              if (tensor.is_cpu())
                copy_bytes(static_cast<const char*>(tensor.const_data_ptr()) + offset, bytes,
                           slot + place);
              else
                at::from_blob(slot + place, {bytes}, at::kByte)
                    .copy_(part_of_tensor(tensor, offset, bytes));
            });
}

void copy_out(const char* slot, std::span<const at::Tensor> tensors, int64_t begin, int64_t end) {
  for_parts(tensors, begin, end,
            [&](const at::Tensor& tensor, int64_t offset, int64_t bytes, int64_t place) {
              if (tensor.is_cpu())
                copy_bytes(slot + place, bytes,
                           static_cast<char*>(tensor.mutable_data_ptr()) + offset);
              else
                part_of_tensor(tensor, offset, bytes)
                    .copy_(at::from_blob(const_cast<char*>(slot) + place, {bytes}, at::kByte));
            });
}

// Pins memory where there is a GPU, which then copies from and to it at its full speed. It can't be
// done later, and copies work without it.
void pin(void* memory, size_t bytes) {
  if (!at::hasCUDA()) return;
  using Register = int (*)(void*, size_t, unsigned);
  if (const auto call = reinterpret_cast<Register>(::dlsym(RTLD_DEFAULT, "cudaHostRegister")))
    (void)call(memory, bytes, 0);
}

}  // namespace

SharedRanks::SharedRanks(const RankConfig& config, std::vector<Link> links, char* memory)
    : Ranks(config.rank, config.count),
      links_(std::move(links)),
      memory_(memory),
      bytes_(config.memory_bytes),
      slot_bytes_((config.memory_bytes - kLine) / (config.count + 1) / kLine * kLine),
      beats_(reinterpret_cast<std::atomic<uint32_t>*>(memory + config.memory_bytes - kLine)),
      wait_(config.rank == 0 ? std::chrono::seconds(config.wait_s)
                             : std::chrono::seconds(config.wait_s) + kPatience) {
  if (config.rank == 0)
    heart_ = std::jthread([beats = beats_](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        beats->fetch_add(1);
        std::this_thread::sleep_for(kBeat);
      }
    });
}

SharedRanks::~SharedRanks() {
  heart_ = {};  // it writes there
  early_.reset();
  ::munmap(memory_, static_cast<size_t>(bytes_));
}

Result<std::unique_ptr<Ranks>> SharedRanks::open(const RankConfig& config) {
  const size_t wanted = config.rank == 0 ? static_cast<size_t>(config.count - 1) : 1;
  std::vector<Link> links;
  for (size_t i = 0; i < config.links.size(); ++i)
    links.emplace_back(UniqueFd(config.links[i]),
                       config.rank == 0 ? static_cast<int64_t>(i) + 1 : 0);
  const UniqueFd memory(config.memory_fd);
  if (links.size() != wanted || config.memory_bytes < (config.count + 2) * kLine)
    return fail("bad_job", "ranks: links and memory_bytes do not fit count");
  void* const mapped = ::mmap(nullptr, static_cast<size_t>(config.memory_bytes),
                              PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (mapped == MAP_FAILED)
    return std::unexpected(errno_error("the memory that the ranks share", errno));
  pin(mapped, static_cast<size_t>(config.memory_bytes));
  // Who writes to a rank that has ended gets an error, not this signal.
  ::signal(SIGPIPE, SIG_IGN);
  return std::unique_ptr<Ranks>(
      new SharedRanks(config, std::move(links), static_cast<char*>(mapped)));
}

Status SharedRanks::meet() {
  if (first())
    for (const Link& link : links_)
      if (const auto here = link.receive(wait_); !here) return std::unexpected(here.error());
  for (const Link& link : links_) BITLOOP_TRY(link.send("m", wait_));
  if (!first())
    if (const auto go = links_[0].receive(wait_); !go) return std::unexpected(go.error());
  return {};
}

Status SharedRanks::wait_for_first() {
  if (first()) {
    for (const Link& link : links_) BITLOOP_TRY(link.send("w", wait_));
    return {};
  }
  if (const auto go = links_[0].receive(wait_, beats_); !go) return std::unexpected(go.error());
  return {};
}

Result<std::vector<std::string>> SharedRanks::exchange(std::string_view words) {
  std::vector<std::string> all;
  words = words.substr(0, kMostWords);
  constexpr size_t kPrefix = sizeof(uint32_t);  // before each rank's words: how many bytes
  if (first()) {
    all.emplace_back(words);
    for (const Link& link : links_) {
      BITLOOP_ASSIGN(said, link.receive(wait_));
      all.push_back(said.substr(1));
    }
    std::string together;
    for (const std::string& said : all) {
      const auto length = static_cast<uint32_t>(said.size());
      together.append(reinterpret_cast<const char*>(&length), kPrefix);
      together += said;
    }
    for (const Link& link : links_) BITLOOP_TRY(link.send(together, wait_));
    return all;
  }
  // A message is never empty, which would be the end.
  std::string message(1, 'x');
  message.append(words);
  BITLOOP_TRY(links_[0].send(message, wait_));
  BITLOOP_ASSIGN(together, links_[0].receive(wait_));
  for (size_t at = 0; at + kPrefix <= together.size();) {
    uint32_t length = 0;
    std::memcpy(&length, together.data() + at, kPrefix);
    at += kPrefix;
    if (length > together.size() - at) break;
    all.push_back(together.substr(at, length));
    at += length;
  }
  if (std::ssize(all) != count()) return fail("infrastructure", "rank 0 sent no list of all ranks");
  return all;
}

void SharedRanks::add_slots(int64_t n, at::Device device) {
  const auto floats = [this](int64_t index) { return reinterpret_cast<float*>(slot(index)); };
  const kernels::Range mine = kernels::part_of(n, kLineFloats, rank(), count());
  if (mine.empty()) return;
  if (!device.is_cpu()) {
    const auto part = [&](int64_t index) {
      return at::from_blob(floats(index) + mine.begin, {mine.end - mine.begin}, at::kFloat);
    };
    const at::Tensor sum = part(0).to(device);
    for (int64_t other = 1; other < count(); ++other) sum.add_(part(other).to(device));
    part(count()).copy_(sum);
    return;
  }
  float* const sums = floats(count());
  kernels::run_parts(mine.end - mine.begin, kGrain, [&](int64_t from, int64_t to) {
    const int64_t at = mine.begin + from, length = to - from;
    std::memcpy(sums + at, floats(0) + at, static_cast<size_t>(length) * sizeof(float));
    for (int64_t other = 1; other < count(); ++other)
      kernels::add_rows(floats(other) + at, 1, length, sums + at);
  });
}

Status SharedRanks::prepare_early_sums(at::Device device) {
  early_ = std::make_unique<SumThread>(
      device, [this](std::span<const at::Tensor> tensors) { return sum(tensors); });
  // A whole slot of numbers once, so that its memory on a GPU is there.
  if (device.is_cpu()) return {};
  const at::Tensor all = at::zeros({slot_bytes_ / static_cast<int64_t>(sizeof(float))},
                                   at::TensorOptions(at::kFloat).device(device));
  BITLOOP_TRY(begin_sum({{all}}));
  return finish_sums();
}

Status SharedRanks::begin_sum(std::span<const at::Tensor> tensors) {
  if (early_ == nullptr) return sum(tensors);
  early_->begin({tensors.begin(), tensors.end()});
  return {};
}

Status SharedRanks::finish_sums() { return early_ == nullptr ? Status() : early_->finish(); }

Status SharedRanks::sum(std::span<const at::Tensor> tensors) {
  const int64_t all = bytes_of(tensors);
  for (int64_t begin = 0; begin < all; begin += slot_bytes_) {
    const int64_t end = std::min(all, begin + slot_bytes_);
    copy_in(tensors, begin, end, slot(rank()));
    BITLOOP_TRY(meet());
    add_slots((end - begin) / static_cast<int64_t>(sizeof(float)), tensors.front().device());
    BITLOOP_TRY(meet());
    // The sum is overwritten after the next piece's first meeting, when all have taken this one.
    copy_out(slot(count()), tensors, begin, end);
  }
  return {};
}

Status SharedRanks::broadcast(std::span<const at::Tensor> tensors) {
  const int64_t all = bytes_of(tensors);
  for (int64_t begin = 0; begin < all; begin += slot_bytes_) {
    const int64_t end = std::min(all, begin + slot_bytes_);
    if (first()) copy_in(tensors, begin, end, slot(count()));
    BITLOOP_TRY(meet());
    if (!first()) copy_out(slot(count()), tensors, begin, end);
    BITLOOP_TRY(meet());
  }
  return {};
}

}  // namespace bitloop::trainer
