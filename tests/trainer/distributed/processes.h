// Real processes that train together, for tests: each is a fork of this one, connected as the
// supervisor connects the processes of a jail.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <vector>

#include "harness/jobs/rank_links.h"
#include "sandbox/descriptors.h"
#include "trainer/distributed/ranks.h"

namespace bitloop::trainer {

inline RankConfig config_from(const nlohmann::ordered_json& document) {
  RankConfig config;
  config.rank = document.at("rank");
  config.count = document.at("count");
  config.links = document.at("links").get<std::vector<int>>();
  config.memory_fd = document.at("memory_fd");
  config.memory_bytes = document.at("memory_bytes");
  config.wait_s = document.at("wait_s");
  return config;
}

// Runs body(ranks) in `count` processes until all have ended; their wait statuses. A process exits
// with 0 when body returns true and no expectation failed in it.
inline std::vector<int> run_ranks(unsigned count, int64_t wait_s,
                                  const std::function<bool(Ranks&)>& body) {
  // Descriptors beyond those that ranks get, so that none of these replaces one.
  std::vector<UniqueFd> low;
  while (low.empty() || low.back().get() < 40) low.emplace_back(::open("/dev/null", O_RDONLY));
  auto links = jobs::RankLinks::make(count);
  EXPECT_TRUE(links) << (links ? "" : links.error().message);
  std::vector<pid_t> children;
  for (unsigned rank = 0; rank < count; ++rank) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      auto mappings = links->descriptors(rank);
      for (const int fd : {0, 1, 2}) mappings.push_back({fd, fd});
      const RankConfig config = config_from(links->describe(rank, wait_s));
      bool good = sandbox::map_descriptors(mappings, /*close_others=*/false);
      { const jobs::RankLinks given_up = std::move(*links); }  // else no end would ever be noticed
      auto ranks = open_ranks(config);
      EXPECT_TRUE(ranks) << (ranks ? "" : ranks.error().message);
      try {
        good = good && ranks && body(**ranks) && !::testing::Test::HasFailure();
      } catch (const std::exception& error) {  // or the child would go on with the other tests
        std::fprintf(stderr, "rank %u: %s\n", rank, error.what());
        good = false;
      }
      std::fflush(nullptr);
      ::_exit(good ? 0 : 1);
    }
    children.push_back(child);
  }
  { const jobs::RankLinks given_up = std::move(*links); }
  std::vector<int> statuses;
  for (const pid_t child : children) {
    int status = 0;
    // One that was stopped has its end here, too.
    if (::waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status)) {
      const int stopped = status;
      std::vector<int> later;
      for (const pid_t other : children)
        if (other > child) {
          ::waitpid(other, &status, 0);
          later.push_back(status);
        }
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      statuses.push_back(stopped);
      statuses.insert(statuses.end(), later.begin(), later.end());
      return statuses;
    }
    statuses.push_back(status);
  }
  return statuses;
}

inline double seconds_of(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace bitloop::trainer
