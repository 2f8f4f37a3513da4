#include "daemon/mediator/observed.hpp"

namespace airlock {

void note_visible(const wire::AddToStore&, const wire::AddedPath& reply, Session& session) {
  session.note({reply.path});
}

void note_visible(const wire::AddTextToStore&, const wire::PathReply& reply, Session& session) {
  session.note({reply.path});
}

void note_visible(const wire::AddToStoreNar& request, const wire::Nothing&, Session& session) {
  session.note({request.path});
}

void note_visible(const wire::BuildPaths& request, const wire::Done&, Session& session) {
  for (const auto& target : request.targets)
    session.note(target.build ? session.outputs_of(target) : std::set{target.path});
}

void note_visible(const wire::BuildPathsWithResults&, const wire::BuildResults& reply,
                  Session& session) {
  for (const auto& [target, result] : reply.results)
    if (result.succeeded() && target.build) session.note(session.outputs_of(target));
}

void note_visible(const wire::BuildDerivation& request, const wire::OneBuildResult& reply,
                  Session& session) {
  if (reply.result.succeeded()) session.note(session.outputs_of({request.path, true, {}}));
}

}  // namespace airlock
