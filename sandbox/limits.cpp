#include "sandbox/limits.h"

namespace bitloop::sandbox {
namespace {

constexpr rlim_t kDataMargin = rlim_t{512}
                               << 20;  // thread stacks, allocator slack, code generators
constexpr rlim_t kCpuGrace = 5;        // seconds between SIGXCPU and SIGKILL
constexpr rlim_t kThreadMargin = 8;    // the init of the jail, helpers of libraries

}  // namespace

std::vector<Limit> plan_limits(const Policy& policy, const LayerSet& layers) {
  std::vector<Limit> limits;
  const auto both = [&](int resource, rlim_t value) { limits.push_back({resource, value, value}); };
  // CUDA reserves address space for all memory of all GPUs and the machine: with a GPU the resident
  // size alone is the cap.
  if (layers.has(Layer::kMemory) && !policy.gpu)
    both(RLIMIT_DATA, policy.memory_bytes + kDataMargin);
  if (!layers.has(Layer::kRlimits)) return limits;
  both(RLIMIT_CORE, 0);
  both(RLIMIT_MEMLOCK, policy.gpu ? policy.memory_bytes : 0);
  both(RLIMIT_MSGQUEUE, 0);
  both(RLIMIT_RTPRIO, 0);
  both(RLIMIT_SIGPENDING, 64);
  both(RLIMIT_FSIZE, policy.file_bytes);
  both(RLIMIT_NOFILE, policy.open_files);
  const auto cpu = static_cast<rlim_t>(policy.cpu_time.count());
  limits.push_back({RLIMIT_CPU, cpu, cpu + kCpuGrace});
  // Without a user namespace the caller's other processes are counted too, and nothing could start.
  if (layers.has(Layer::kUserNamespace)) both(RLIMIT_NPROC, policy.threads + kThreadMargin);
  return limits;
}

bool apply_limits(const std::vector<Limit>& limits) {
  for (const Limit& limit : limits) {
    const auto resource = static_cast<__rlimit_resource>(limit.resource);
    rlimit old{};
    if (::getrlimit(resource, &old) != 0) return false;
    rlimit wanted{limit.soft, limit.hard};
    if (old.rlim_max != RLIM_INFINITY && old.rlim_max < wanted.rlim_max)
      wanted.rlim_max = old.rlim_max;
    if (wanted.rlim_cur > wanted.rlim_max) wanted.rlim_cur = wanted.rlim_max;
    if (::setrlimit(resource, &wanted) != 0) return false;
  }
  return true;
}

}  // namespace bitloop::sandbox
