# What the programs read at run time is copied to share/bitloop beside bin/, so that a program finds its files by its own
# place (../share/bitloop) in the build tree and after installation alike. The data that scripts/setup unpacked is linked.
set(BITLOOP_SHARE_DIR "${BITLOOP_OUTPUT_DIR}/share/bitloop")
add_custom_target(bitloop_assets ALL
  COMMAND ${CMAKE_COMMAND} -E make_directory ${BITLOOP_SHARE_DIR}
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/quantizers ${BITLOOP_SHARE_DIR}/quantizers
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/trainer/presets ${BITLOOP_SHARE_DIR}/presets
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/harness/tasks ${BITLOOP_SHARE_DIR}/tasks
  COMMAND ${CMAKE_COMMAND} -E copy_if_different ${PROJECT_SOURCE_DIR}/program.md ${PROJECT_SOURCE_DIR}/docs/lua.md
          ${PROJECT_SOURCE_DIR}/docs/model.md ${BITLOOP_SHARE_DIR}
  COMMAND ${CMAKE_COMMAND} -E create_symlink ${BITLOOP_DEPS_DIR}/data ${BITLOOP_SHARE_DIR}/data
  COMMENT "" VERBATIM)
