# Run by the target bitloop_assets: makes SHARE_DIR hold what the programs read at run time, and nothing that lies beside it
# in SOURCE_DIR. Files that are there and equal stay as they are.
cmake_minimum_required(VERSION 3.25)

function(copy_files from to pattern)
  file(GLOB wanted RELATIVE "${SOURCE_DIR}/${from}" "${SOURCE_DIR}/${from}/${pattern}")
  file(GLOB present RELATIVE "${SHARE_DIR}/${to}" "${SHARE_DIR}/${to}/*")
  foreach(name ${present})
    if(NOT name IN_LIST wanted)
      file(REMOVE_RECURSE "${SHARE_DIR}/${to}/${name}")  # of an earlier build
    endif()
  endforeach()
  foreach(name ${wanted})
    file(COPY_FILE "${SOURCE_DIR}/${from}/${name}" "${SHARE_DIR}/${to}/${name}" ONLY_IF_DIFFERENT)
  endforeach()
endfunction()

file(MAKE_DIRECTORY "${SHARE_DIR}/baselines" "${SHARE_DIR}/eval" "${SHARE_DIR}/quantizers" "${SHARE_DIR}/presets" "${SHARE_DIR}/tasks")
copy_files(quantizers quantizers *.lua)
copy_files(results/baselines baselines *.tsv)
copy_files(trainer/presets presets *.json)
copy_files(harness/tasks tasks *.json)
copy_files(trainer/eval/tasks eval *.lua)
foreach(text program.md docs/lua.md docs/model.md)
  get_filename_component(name ${text} NAME)
  file(COPY_FILE "${SOURCE_DIR}/${text}" "${SHARE_DIR}/${name}" ONLY_IF_DIFFERENT)
endforeach()
file(CREATE_LINK "${DATA_DIR}" "${SHARE_DIR}/data" SYMBOLIC)
