#include "trainer/distributed/c10d_ranks.h"

#include <ATen/ATen.h>
#include <dlfcn.h>
#include <fmt/format.h>

// What libtorch_cpu was built with.
#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO
#endif
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

#include "trainer/device/own_library.h"

namespace bitloop::trainer {
namespace {

using c10::intrusive_ptr;

constexpr int64_t kPieceBytes = int64_t{16} << 20;
// Longer than any run: for what may take as long as it wants.
constexpr std::chrono::milliseconds kForever = std::chrono::hours(24 * 365);
// The length of a rank's words, and the words, as each sends them.
constexpr size_t kWordsBytes = sizeof(uint32_t) + Ranks::kMostWords;

// The first line of what `body` throws, or "".
std::string thrown(const std::function<void()>& body) {
  try {
    body();
    return "";
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return what.substr(0, std::min(what.find('\n'), size_t{300}));
  }
}

Status guarded(const std::function<void()>& body) {
  const std::string what = thrown(body);
  if (what.empty()) return {};
  return fail("infrastructure",
              fmt::format("a rank has ended or did not come in time ({}); see its "
                          "own output, or raise limits.rank_wait_s",
                          what));
}

// NCCL's group, by the library that only exists beside LibTorch's CUDA library (trainer/cuda).
// Nothing, with the reason on standard error, where it can't be had.
intrusive_ptr<c10d::Backend> open_nccl(const intrusive_ptr<c10d::Store>& store,
                                       const RankConfig& config,
                                       std::chrono::milliseconds timeout) {
  using Make = c10d::Backend* (*)(const intrusive_ptr<c10d::Store>&, int, int, int64_t);
  void* const library = ::dlopen(own_library("libbitloop_nccl.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  // Its own watchdog would end this process by a signal, as if the candidate had crashed it, and
  // watch for that in files: what went wrong finish() finds.
  ::setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", 1);
  ::setenv("TORCH_NCCL_ENABLE_MONITORING", "0", 1);
  const auto make =
      library ? reinterpret_cast<Make>(::dlsym(library, "bitloop_nccl")) : Make(nullptr);
  if (make == nullptr) {
    fmt::print(stderr, "gradients go through the processor's memory: NCCL can't be opened ({})\n",
               ::dlerror());
    return {};
  }
  return intrusive_ptr<c10d::Backend>::reclaim(
      make(store, static_cast<int>(config.rank), static_cast<int>(config.count), timeout.count()));
}

void wait_for(const intrusive_ptr<c10d::Work>& work) {
  work->wait();  // throws what went wrong
}

}  // namespace

// Numbers that go through the network together.
struct C10dRanks::Piece {
  std::vector<at::Tensor> parts;  // flat, in order
  at::Tensor numbers;             // the only part itself, or a copy of all
  intrusive_ptr<c10d::Work> work;

  // Where they can be sent from: the GPU, `on_device`, or this processor's memory.
  void gather(bool on_device) {
    numbers = parts.size() == 1 ? parts[0] : at::cat(parts);
    if (!on_device && !numbers.is_cpu()) numbers = numbers.cpu();
  }
  // Waits for what was queued, and puts the numbers back. A GPU's work is looked at and not waited
  // for, since a peer that has ended would leave its stream waiting for ever; `limit` is how long a
  // peer may take.
  void finish(std::chrono::milliseconds limit) {
    if (!numbers.is_cpu()) {
      constexpr std::chrono::microseconds kLook{50};
      const auto end = std::chrono::steady_clock::now() + limit;
      while (!work->isCompleted()) {
        TORCH_CHECK(std::chrono::steady_clock::now() < end, "NCCL waited in vain");
        std::this_thread::sleep_for(kLook);
      }
    }
    wait_for(work);
    if (numbers.is_same(parts[0])) return;
    int64_t at = 0;
    for (at::Tensor& part : parts) {
      part.copy_(numbers.narrow(0, at, part.numel()));
      at += part.numel();
    }
  }
};

struct C10dRanks::Connections {
  intrusive_ptr<c10d::Store> store;
  intrusive_ptr<c10d::Backend> words;    // Gloo
  intrusive_ptr<c10d::Backend> numbers;  // NCCL, or null: then numbers go by Gloo
  std::chrono::milliseconds limit;       // how long a rank that does not come is waited for
};

C10dRanks::C10dRanks(const RankConfig& config, std::unique_ptr<Connections> connections)
    : Ranks(config.rank, config.count), connections_(std::move(connections)) {}

// Threads of the connections may be waiting in them: they end with the process.
C10dRanks::~C10dRanks() { (void)connections_.release(); }

Result<std::unique_ptr<Ranks>> C10dRanks::open(const RankConfig& config) {
  ::signal(SIGPIPE, SIG_IGN);
  auto made = std::make_unique<Connections>();
  const auto timeout = std::chrono::milliseconds(std::chrono::seconds(config.wait_s));
  made->limit = timeout;
  const std::string obstacle = thrown([&] {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(config.port);
    options.isServer = config.rank == 0 && !config.store_is_there;
    options.numWorkers = static_cast<size_t>(config.count);
    options.waitWorkers = false;
    options.timeout = timeout;
    options.useLibUV = false;
    auto tcp = c10::make_intrusive<c10d::TCPStore>(config.address, options);
    made->store = c10::make_intrusive<c10d::PrefixStore>("bitloop/" + config.meeting, tcp);
    auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
    gloo->devices.push_back(
        config.own_address.empty()
            ? c10d::ProcessGroupGloo::createDefaultDevice()
            : c10d::ProcessGroupGloo::createDeviceForHostname(config.own_address));
    made->words = c10::make_intrusive<c10d::ProcessGroupGloo>(
        made->store, static_cast<int>(config.rank), static_cast<int>(config.count), gloo);
    if (!at::hasCUDA()) return;
    made->numbers =
        open_nccl(c10::make_intrusive<c10d::PrefixStore>("nccl", made->store), config, timeout);
    if (!made->numbers) return;
    // It connects at the first use, which must not be the first step's.
    std::vector<at::Tensor> one{at::ones({1}, at::TensorOptions(at::kFloat).device(at::kCUDA))};
    wait_for(made->numbers->allreduce(one));
    (void)one[0].item<float>();
  });
  if (!obstacle.empty())
    return fail("infrastructure",
                fmt::format("rank {} can't meet the others at {}:{} within {} s ({}); all ranks "
                            "must be started, and that address be reachable from each",
                            config.rank, config.address, config.port, config.wait_s, obstacle));
  return std::unique_ptr<Ranks>(new C10dRanks(config, std::move(made)));
}

std::vector<C10dRanks::Piece> C10dRanks::pieces_of(std::span<const at::Tensor> tensors) const {
  std::vector<Piece> pieces;
  int64_t bytes = 0;  // of the last one
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor flat = tensor.detach().view({-1});
    const int64_t most = kPieceBytes / flat.element_size();
    for (int64_t begin = 0; begin < flat.numel(); begin += most) {
      const at::Tensor part = flat.narrow(0, begin, std::min(most, flat.numel() - begin));
      const auto size = static_cast<int64_t>(part.nbytes());
      if (pieces.empty() || pieces.back().parts.back().scalar_type() != part.scalar_type() ||
          bytes + size > kPieceBytes) {
        pieces.emplace_back();
        bytes = 0;
      }
      pieces.back().parts.push_back(part);
      bytes += size;
    }
  }
  return pieces;
}

void C10dRanks::queue_sum(Piece& piece) const {
  piece.gather(bool(connections_->numbers));
  std::vector<at::Tensor> one{piece.numbers};
  piece.work =
      (piece.numbers.is_cpu() ? connections_->words : connections_->numbers)->allreduce(one);
}

Status C10dRanks::sum(std::span<const at::Tensor> tensors) {
  return guarded([&] {
    for (Piece& piece : pieces_of(tensors)) {
      queue_sum(piece);
      piece.finish(connections_->limit);
    }
  });
}

Status C10dRanks::begin_sum(std::span<const at::Tensor> tensors) {
  return guarded([&] {
    for (Piece& piece : pieces_of(tensors)) {
      queue_sum(piece);
      early_.push_back(std::move(piece));
    }
  });
}

Status C10dRanks::finish_sums() {
  std::vector<Piece> begun = std::exchange(early_, {});
  return guarded([&] {
    for (Piece& piece : begun) piece.finish(connections_->limit);
  });
}

Status C10dRanks::broadcast(std::span<const at::Tensor> tensors) {
  return guarded([&] {
    for (Piece& piece : pieces_of(tensors)) {
      piece.gather(bool(connections_->numbers));
      std::vector<at::Tensor> one{piece.numbers};
      piece.work =
          (piece.numbers.is_cpu() ? connections_->words : connections_->numbers)->broadcast(one);
      piece.finish(connections_->limit);
    }
  });
}

Result<std::vector<std::string>> C10dRanks::exchange(std::string_view words) {
  words = words.substr(0, kMostWords);
  const auto n = static_cast<int64_t>(kWordsBytes);
  std::vector<at::Tensor> mine{at::zeros({n}, at::kByte)};
  const auto length = static_cast<uint32_t>(words.size());
  auto* to = mine[0].data_ptr<uint8_t>();
  std::memcpy(to, &length, sizeof length);
  std::memcpy(to + sizeof length, words.data(), words.size());
  std::vector<std::vector<at::Tensor>> all(1);
  for (int64_t rank = 0; rank < count(); ++rank) all[0].push_back(at::empty({n}, at::kByte));
  BITLOOP_TRY(guarded([&] { wait_for(connections_->words->allgather(all, mine)); }));
  std::vector<std::string> said;
  for (const at::Tensor& theirs : all[0]) {
    const auto* from = theirs.const_data_ptr<uint8_t>();
    uint32_t bytes = 0;
    std::memcpy(&bytes, from, sizeof bytes);
    said.emplace_back(reinterpret_cast<const char*>(from) + sizeof bytes,
                      std::min<size_t>(bytes, kMostWords));
  }
  return said;
}

Status C10dRanks::wait_for_first() {
  return guarded([&] {
    std::vector<at::Tensor> one{at::zeros({1}, at::kByte)};
    c10d::BroadcastOptions options;
    options.timeout = kForever;
    wait_for(connections_->words->broadcast(one, options));
  });
}

}  // namespace bitloop::trainer
