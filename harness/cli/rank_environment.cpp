#include "harness/cli/rank_environment.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <memory>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::cli {
namespace {

constexpr int64_t kDefaultPort = 29500, kPorts = 20000;  // from 10,000 on, for jobs of SLURM
constexpr int64_t kLastPort = 65534, kMostRanks = 4096;

Result<int64_t> number(const Getenv& get, const char* name, int64_t low, int64_t high) {
  const char* text = get(name);
  const std::string_view given = text == nullptr ? "" : text;
  int64_t value = -1;
  const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
  if (error != std::errc() || end != given.data() + given.size() || value < low || value > high)
    return fail("wrong_usage",
                fmt::format("{} is '{}' in the environment, but must be a whole number from {} to "
                            "{}: start all ranks with torchrun or srun, or unset WORLD_SIZE",
                            name, single_line(given.substr(0, 50)), low, high));
  return value;
}

std::string numeric(const sockaddr* address, socklen_t length) {
  char host[NI_MAXHOST] = {};
  if (::getnameinfo(address, length, host, sizeof host, nullptr, 0, NI_NUMERICHOST) != 0) return "";
  return host;
}

// The machine's address as a number, and this machine's on the way there: the jail has nothing that
// knows names.
Status find_addresses(const std::string& host, RankEnvironment& made) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_DGRAM;
  const int code = ::getaddrinfo(host.c_str(), "9", &hints, &found);
  if (code != 0)
    return fail("wrong_usage", fmt::format("MASTER_ADDR: no address is found for '{}' ({})",
                                           single_line(host.substr(0, 200)), ::gai_strerror(code)));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    // A socket for datagrams is connected without sending anything.
    const UniqueFd socket(::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, 0));
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    if (!socket.valid() || ::connect(socket.get(), one->ai_addr, one->ai_addrlen) != 0 ||
        ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &length) != 0)
      continue;
    made.address = numeric(one->ai_addr, one->ai_addrlen);
    made.own_address = numeric(reinterpret_cast<sockaddr*>(&own), length);
    if (!made.address.empty() && !made.own_address.empty()) return {};
  }
  return fail("wrong_usage", fmt::format("MASTER_ADDR: this machine has no way to '{}'",
                                         single_line(host.substr(0, 200))));
}

}  // namespace

std::string first_node(std::string_view list) {
  const size_t bracket = list.find('['), comma = list.find(',');
  if (bracket == std::string_view::npos || comma < bracket)
    return std::string(list.substr(0, comma));
  const std::string_view ranges = list.substr(bracket + 1);
  return std::string(list.substr(0, bracket)) +
         std::string(ranges.substr(0, ranges.find_first_of("-,]")));
}

nlohmann::json RankEnvironment::job_member() const {
  return {{"rank", rank},
          {"count", count},
          {"address", address},
          {"port", port},
          {"store_is_there", store_is_there},
          {"own_address", own_address},
          {"local_rank", local_rank}};
}

Result<std::optional<RankEnvironment>> rank_environment(const Getenv& get) {
  const bool slurm = get("WORLD_SIZE") == nullptr;
  const char* const count_name = slurm ? "SLURM_STEP_NUM_TASKS" : "WORLD_SIZE";
  if (get(count_name) == nullptr) return std::nullopt;
  RankEnvironment made;
  BITLOOP_ASSIGN(count, number(get, count_name, 1, kMostRanks));
  if (count == 1) return std::nullopt;
  BITLOOP_ASSIGN(rank, number(get, slurm ? "SLURM_PROCID" : "RANK", 0, count - 1));
  made.count = count;
  made.rank = made.local_rank = rank;
  if (const char* name = slurm ? "SLURM_LOCALID" : "LOCAL_RANK"; get(name) != nullptr) {
    BITLOOP_ASSIGN(local, number(get, name, 0, kMostRanks));
    made.local_rank = local;
  }
  const char* host = get("MASTER_ADDR");
  const char* nodes = get("SLURM_STEP_NODELIST");
  const std::string first = host != nullptr ? host : slurm && nodes ? first_node(nodes) : "";
  if (first.empty())
    return fail("wrong_usage",
                "MASTER_ADDR is missing in the environment: start all ranks with torchrun or srun, "
                "or unset WORLD_SIZE");
  made.port = kDefaultPort;
  if (get("MASTER_PORT") != nullptr) {
    BITLOOP_ASSIGN(port, number(get, "MASTER_PORT", 1, kLastPort));
    made.port = port;
  } else if (slurm && get("SLURM_JOB_ID") != nullptr) {
    BITLOOP_ASSIGN(job, number(get, "SLURM_JOB_ID", 0, INT64_MAX / 2));
    made.port = 10'000 + 2 * (job % (kPorts / 2));
  }
  const char* store = get("TORCHELASTIC_USE_AGENT_STORE");
  made.store_is_there = store != nullptr && std::strcmp(store, "True") == 0;
  BITLOOP_TRY(find_addresses(first, made));
  return made;
}

}  // namespace bitloop::cli
