#include "trainer/distributed/ranks.h"

#include "trainer/distributed/c10d_ranks.h"
#include "trainer/distributed/shared_ranks.h"

namespace bitloop::trainer {

Result<std::unique_ptr<Ranks>> open_ranks(const RankConfig& config) {
  if (config.count == 1) return nullptr;
  if (!config.address.empty()) return C10dRanks::open(config);
  return SharedRanks::open(config);
}

}  // namespace bitloop::trainer
