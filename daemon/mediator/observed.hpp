#pragma once

#include "daemon/mediator/passing_upload.hpp"
#include "daemon/mediator/session.hpp"
#include "daemon/policy/verdict.hpp"
#include "daemon/wire/messages.hpp"

/// Profile observe: what strict would have said of an operation, and what a session would see since
/// one that the daemon has done, so that the next verdict is the one that strict would have given.
namespace airlock {

/// What is recorded of one operation.
struct Observation {
  policy::Verdict verdict;      ///< strict's: by the arguments, then by the content
  std::string subject;          ///< what the operation is about
  std::set<StorePath> added{};  ///< by the upload, if the daemon takes it
};

/// What amends an observation by an upload's content, which strict decides, too; of that are kept
/// the text of one derivation and, up to Limits::paths, the paths. The arguments outlive it.
template <class Request>
UploadWatch watch(const Request&, const Session&, const Limits&, Observation&) {
  return {};
}
UploadWatch watch(const wire::AddToStore& request, const Session& session, const Limits& limits,
                  Observation& seen);
/// Its content is among the arguments, so the observation is amended at once.
UploadWatch watch(const wire::AddTextToStore& request, const Session& session, const Limits& limits,
                  Observation& seen);
UploadWatch watch(const wire::AddToStoreNar& request, const Session& session, const Limits& limits,
                  Observation& seen);
UploadWatch watch(const wire::AddMultipleToStore& request, const Session& session,
                  const Limits& limits, Observation& seen);

template <class Request, class Reply>
void note_visible(const Request&, const Reply&, Session&) {}
void note_visible(const wire::AddToStore&, const wire::AddedPath& reply, Session& session);
void note_visible(const wire::AddTextToStore&, const wire::PathReply& reply, Session& session);
void note_visible(const wire::AddToStoreNar& request, const wire::Nothing&, Session& session);
void note_visible(const wire::BuildPaths& request, const wire::Done&, Session& session);
void note_visible(const wire::BuildPathsWithResults& request, const wire::BuildResults& reply,
                  Session& session);
void note_visible(const wire::BuildDerivation& request, const wire::OneBuildResult& reply,
                  Session& session);

}  // namespace airlock
