// What a model on a GPU writes and reads.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/base/fd.h"
#include "tests/trainer/device/fixture.h"
#include "trainer/checkpoint/checkpoint_files.h"
#include "trainer/pack/packed_model.h"

namespace bitloop::trainer {
namespace {

using DeviceFiles = DeviceTest;
using nlohmann::json;

TEST_F(DeviceFiles, APackedModelComesBackToTheBit) {
  const at::NoGradGuard no_grad;
  for (const std::string& name : shipped_names()) {
    const std::string text = shipped_text(name);
    const auto quantizer = quantizer_on(cuda(), text);
    Transformer model(device_model(), false, 5), other(device_model(), false, 6);
    model.to(cuda());
    other.to(cuda());
    init_layers(model, *quantizer);
    const ForwardContext context{
        .quantizer = quantizer.get(), .step = 9, .total_steps = 9, .products = Products::kFloat32};
    ASSERT_TRUE(model.quantize_weights(context)) << name;
    const at::Tensor ids = at::randint(17, {4, 24}, at::kLong).to(cuda());
    const auto want = model.forward(ids, context);
    ASSERT_TRUE(want) << name;

    const UniqueFd fd(::memfd_create("packed", MFD_CLOEXEC));
    ASSERT_TRUE(write_packed(fd.get(), pack_model(model, &quantizer->format(), at::kFloat),
                             json::object()));
    const auto file = MappedTensors::parse(*MappedFile::map(fd.get()));
    ASSERT_TRUE(file) << file.error().message;
    const auto description = read_description(*file);
    ASSERT_TRUE(description);
    const Status unpacked = unpack_model(*file, *description, other, &quantizer->format());
    ASSERT_TRUE(unpacked) << name << ": " << unpacked.error().message;
    ASSERT_TRUE(other.quantize_weights(context));
    const auto got = other.forward(ids, context);
    ASSERT_TRUE(got) << name << ": " << got.error().message;
    EXPECT_TRUE(at::equal(*got, *want)) << name;
  }
}

TEST_F(DeviceFiles, ACheckpointHoldsTheNumbersOfTheDevice) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("bitloop_device_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const at::Tensor numbers = at::randn({100});
  {
    const auto files = CheckpointFiles::open(folder, 1);
    ASSERT_TRUE(files);
    (*files)->save({3, json::object(), {{"w", numbers.to(cuda())}}}, "run");
    (*files)->wait();
    const auto saved = (*files)->take_saved();
    ASSERT_TRUE(saved && saved->status);
  }
  const auto files = CheckpointFiles::open(folder, 1);
  ASSERT_TRUE(files);
  std::vector<std::string> complaints;
  const auto found = (*files)->newest("run", complaints);
  ASSERT_TRUE(found && *found);
  EXPECT_TRUE(at::equal((*found)->tensors.front().second, numbers));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace bitloop::trainer
