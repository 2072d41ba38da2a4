from include.config.commit import git_commit


def test_the_commit_comes_from_the_image_else_from_git(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_GIT_COMMIT", "abc")
    assert git_commit() == "abc"
    monkeypatch.delenv("NIGHTSHIFT_GIT_COMMIT")
    assert git_commit() == "unknown" or len(git_commit()) == 40
