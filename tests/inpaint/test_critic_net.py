import torch

from napari_rsna_inpaint.inpaint.critic_net import CriticConfig, CriticNet

SMALL = CriticConfig(local_widths=(4, 8), whole_widths=(8, 8))


def test_scores_of_patches_and_slices_of_any_size():
    critic = CriticNet(SMALL)
    for side in (16, 24):
        patches, slices = critic(torch.randn(5, 1, side, side), torch.randn(2, 1, 32, 2 * side))
        assert patches.shape == (5,)
        assert slices.shape == (2,)


def test_features_are_the_flattened_last_convolution_of_the_local_branch():
    critic = CriticNet(SMALL)
    x = torch.randn(3, 1, 16, 16)
    features = critic.features(x)
    assert features.shape == (3, 8 * 4 * 4)
    cells = features.view(3, 8, 4, 4)
    torch.testing.assert_close(critic.local.score(cells).mean((1, 2, 3)), critic(x, x)[0])


def test_an_image_is_scored_by_itself():
    critic = CriticNet(CriticConfig())
    x, y = torch.randn(4, 1, 32, 32), torch.randn(2, 1, 32, 64)
    for whole, one in zip(critic(x, y), critic(x[1:2], y[1:2]), strict=True):
        torch.testing.assert_close(whole[1:2], one)


def test_it_can_be_differentiated_twice_under_autocast():
    critic = CriticNet(SMALL)
    x, y = torch.randn(3, 1, 16, 16), torch.randn(2, 1, 32, 32)

    def penalty(autocast):
        critic.zero_grad()
        patches, slices = x.clone().requires_grad_(), y.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            scores = critic(patches, slices)
        grads = torch.autograd.grad([s.sum() for s in scores], (patches, slices), create_graph=True)
        sum((g.square().sum().sqrt() - 1) ** 2 for g in grads).backward()
        return [p.grad.clone() for p in critic.parameters() if p.grad is not None]

    expected = penalty(autocast=False)
    assert any(g.abs().max() > 0 for g in expected)
    for a, b in zip(penalty(autocast=True), expected, strict=True):
        torch.testing.assert_close(a, b)


def test_the_default_critic_is_small():
    n = sum(p.numel() for p in CriticNet(CriticConfig()).parameters())
    assert 0.2e6 < n < 0.35e6
