// Packs the journal's loose objects: every event writes four small files, and a hundred thousand of
// them in folders are slow to back up and to walk.
//
// A process killed at any moment leaves a valid repository: a pack is written in a folder of its
// own (pack-new/), fsynced, moved to objects/pack/ with its index last, and only when the folder is
// on disk, too, are the loose files removed that it holds. Others read and write meanwhile: an
// object is never nowhere, and one that is packed while a commit that needs it is being written is
// on disk already.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>

#include "harness/base/result.h"

namespace bitloop::journal {

// Objects of one pack, at most: what the packer holds in memory grows with it.
inline constexpr size_t kMostInOnePack = 20'000;

// The folder that a pack is written in.
inline constexpr const char* kNewPackFolder = "pack-new";

size_t count_loose_objects(const std::filesystem::path& repository);

// Packs what is loose now, up to kMostInOnePack objects; the number of loose files removed. Nothing
// is begun with less than 64 MiB beside what it takes. Damaged objects are
// left as they are. `stop` is asked now and then: when true, nothing is changed. One call at a time
// in a repository. Errors: "disk_full", "journal_failed", "io_error".
Result<size_t> pack_loose_objects(const std::filesystem::path& repository,
                                  const std::function<bool()>& stop);

}  // namespace bitloop::journal
